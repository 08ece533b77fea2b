package eval

import (
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"math"
	"os"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"golang.org/x/image/font"
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/fixed"

	"flowgrpo/internal/rng"
	"flowgrpo/task"
)

// hostile is a prompt that would run a script in a careless page.
const hostile = `a sign that says "<script>alert(1)</script><img src=x onerror=alert(2)>"`

// signs are the prompts of the made-up run.
var signs = []string{"K7QX", "GO", "R2D2", "HELLO", "42", "PAUL", "X9", "OPEN", "BUS4", "ZEN", "LOOP", "9A3"}

// sign draws text as a generated picture would show it: each letter is right with
// probability skill, and the less skill, the more noise. It returns the share of
// right letters.
func sign(text string, skill float64, sample uint32) (task.Image, Number) {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	var id uint32
	for _, c := range text {
		id = 31*id + uint32(c)
	}
	key := rng.Key{Seed: 9, Purpose: rng.Render, Prompt: id, Sample: sample}
	pick := key.Rand()
	back := color.NRGBA{uint8(200 + pick.IntN(56)), uint8(200 + pick.IntN(56)), uint8(190 + pick.IntN(66)), 255}
	ink := color.NRGBA{uint8(pick.IntN(140)), uint8(pick.IntN(110)), uint8(pick.IntN(160)), 255}
	shown, right := []byte(text), 0
	for i := range shown {
		wrong := letters[pick.IntN(len(letters))]
		if pick.Float64() > skill {
			shown[i] = wrong
		} else {
			right++
		}
	}
	canvas := image.NewNRGBA(image.Rect(0, 0, 48, 16))
	draw.Draw(canvas, canvas.Rect, image.NewUniform(back), image.Point{}, draw.Src)
	x := (48-7*len(text))/2 + pick.IntN(3) - 1
	d := font.Drawer{Dst: canvas, Src: image.NewUniform(ink), Face: basicfont.Face7x13, Dot: fixed.P(x, 12+pick.IntN(2))}
	d.DrawString(string(shown))
	img := task.NewImage(3, 16, 48)
	img.FromImage(canvas)
	z := make([]float32, len(img.Pix))
	key.Sample += 1000
	key.Normals(z)
	for i := range z {
		img.Pix[i] += float32(0.25*(1-skill)+0.02) * z[i]
	}
	return img, Number(right) / Number(len(text))
}

// madeUpEvaluation scores signs drawn with a skill.
func madeUpEvaluation(iteration int, skill float64, ref *Reference) (Evaluation, []task.Image) {
	e := Evaluation{Iteration: iteration, Weights: "ema"}
	var images []task.Image
	for m, mode := range []Mode{ODE40, SDE40, SDE10} {
		var rows []Row
		var drawn []task.Image
		for p, text := range signs {
			for s := range 4 {
				img, r := sign(text, skill-0.02*float64(m), uint32(s))
				prompt := fmt.Sprintf("a sign that says %q", text)
				if p == 3 {
					prompt = hostile
				}
				judge := max(0, min(1, r-0.01+0.05*Number(math.Sin(float64(7*p+3*s+iteration)))))
				rows = append(rows, Row{Prompt: uint32(p), Text: prompt, Category: fmt.Sprintf("%d characters", len(text)),
					Sample: s, Reward: r, Judge: judge, Rewards: map[string]Number{"ocr": r}})
				drawn = append(drawn, img)
			}
		}
		o := Options{Reference: ref, Seed: 1}
		if m == 0 || iteration%120 == 0 {
			o.Resamples = 12
		}
		score := Summarize(rows, drawn, o)
		kl := NaN()
		if mode.Stochastic {
			kl = Number(0.4 * float64(iteration))
		}
		e.Modes = append(e.Modes, ModeScore{Mode: mode, Score: score, KL: kl, Rows: rows})
		if m == 0 {
			images = drawn
		}
	}
	return e, images
}

// madeUpMetrics is one line of a run that learns.
func madeUpMetrics(i int, skill float64) Metrics {
	z := make([]float32, 12)
	rng.Key{Seed: 4, Purpose: rng.Data, Iteration: uint32(i)}.Normals(z)
	n := func(k int) Number { return Number(z[k]) }
	m := Metrics{
		KeyIteration: Number(i), KeySeconds: Number(i) * 5.2, KeyRewardMean: Number(skill) - 0.05 + 0.02*n(0),
		KeyRewardStd: 0.3 - 0.2*Number(skill) + 0.01*n(1), KeyZeroSignal: max(0, 0.6*Number(skill)-0.3+0.03*n(2)),
		KeyGroupStd: 0.25 - 0.2*Number(skill), KeyRatioMean: 1 + 2e-6*n(3), KeyRatioStd: 6e-5 * (1 + 0.2*n(4)),
		KeyClip: 0.2 + 0.03*n(5), KeyClipHigh: 0.11 + 0.02*n(6), KeyClipLow: 0.09 + 0.02*n(7),
		KeyKL: Number(0.01*float64(i)) * (1 + 0.05*n(8)), KeyGradNorm: 0.8 + 0.1*n(9),
		KeyTimeRollout: 2.4 + 0.1*n(10), KeyTimeReward: 0.2, KeyTimeUpdate: 2.5 + 0.1*n(11), KeySamples: Number(i * 192),
	}
	for k := range 9 {
		m[StepKey(k, "ratio_std")] = Number(3e-5*float64(9-k)) * (1 + 0.1*n(k))
	}
	return m
}

// finishedRun is the folder of a made-up run of 120 iterations whose policy learns
// well; callers must not change it.
var finishedRun = sync.OnceValue(func() fstest.MapFS {
	const n, base, tuned = 120, 0.6, 0.96
	fsys := fstest.MapFS{}
	put := func(name string, v any) {
		data, err := json.Marshal(v)
		if err != nil {
			panic(err)
		}
		fsys[name] = &fstest.MapFile{Data: data}
	}
	ref := NewReference(realSigns())
	var lines []byte
	var evals []Evaluation
	var history []Point
	for i := 0; i <= n; i++ {
		skill := tuned + (base-tuned)*math.Exp(-4*float64(i)/n)
		if i > 0 {
			lines = madeUpMetrics(i, skill).AppendJSON(lines)
		}
		if i%20 != 0 {
			continue
		}
		e, images := madeUpEvaluation(i, skill, ref)
		evals, history = append(evals, e), append(history, NewPoint(e))
		put(EvaluationFile(i), e)
		set, kept := NewSampleSet(i, e.Modes[0], images, len(signs), 3)
		put(SampleDir(i)+"/samples.json", set)
		for j, s := range set.Samples {
			data, err := EncodePNG(kept[j].NRGBA())
			if err != nil {
				panic(err)
			}
			fsys[SampleDir(i)+"/"+s.File] = &fstest.MapFile{Data: data}
		}
	}
	fsys["metrics.jsonl"] = &fstest.MapFile{Data: lines}
	fsys["config.toml"] = &fstest.MapFile{Data: []byte(madeUpConfig)}
	last := evals[len(evals)-1]
	put("result.json", Result{Task: "glyphs", Seconds: 581, Base: NewOutcome(evals[0]), Tuned: NewOutcome(last),
		Gain: Gains(evals[0], last, Options{Resamples: 200, Seed: 1}), Floor: 9.6, Warnings: Watch(history, DefaultLimits())})
	put("run.json", RunInfo{Name: "glyphs-lively-otter", Task: "glyphs", State: "done", Seed: 1, Version: "0.1.0", Revision: "3171b26",
		Iterations: n, Command: []string{"finetune", "train", "configs/glyphs.toml", "--set", "grpo.kl=0.02"},
		Started:     time.Date(2026, 11, 22, 9, 30, 0, 0, time.UTC),
		Environment: map[string]string{"go": "go1.26.8", "cpu": "2 × Zen 4, AVX-512", "os": "linux/amd64"}})
	return fsys
})

func realSigns() []task.Image {
	var real []task.Image
	for _, text := range signs {
		for s := range 20 {
			img, _ := sign(text, 1, uint32(100+s))
			real = append(real, img)
		}
	}
	return real
}

const madeUpConfig = `# <script> in a comment stays text
seed = 1

[rollout]
groups = 16
group_size = 12
steps = 10
dynamics = "precise"

[grpo]
learning_rate = 3e-4
clip = 1e-4
kl = 0.02
`

// writeForReview writes a made-up page or picture to the folder $REPORT_OUT, if it
// is set, for a look at it.
func writeForReview(t *testing.T, name string, data []byte) {
	if dir := os.Getenv("REPORT_OUT"); dir != "" {
		if err := os.WriteFile(dir+"/"+name, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
