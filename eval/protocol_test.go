package eval

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"flowgrpo/reward"
	"flowgrpo/task"
)

// brightness rewards the first pixel; it cannot score picture number fails.
type brightness struct {
	name  string
	fails int
	err   error
}

func (b brightness) Name() string { return b.name }

func (b brightness) Score(_ context.Context, batch []reward.Sample) ([]reward.Result, error) {
	out := make([]reward.Result, len(batch))
	for i, s := range batch {
		out[i] = reward.Result{Score: float64(s.Image.Pix[0]), Parts: map[string]float64{"half": float64(s.Image.Pix[0]) / 2}}
		if i == b.fails {
			out[i] = reward.Result{Err: errors.New("unreadable")}
		}
	}
	return out, b.err
}

// ramp is a sampler whose picture number i has brightness i/10.
type ramp struct{ lost int }

func (r ramp) Sample(_ context.Context, prompts []task.Prompt, per int, _ Mode) ([]task.Image, error) {
	var imgs []task.Image
	for i := range len(prompts)*per - r.lost {
		img := task.NewImage(3, 8, 8)
		img.Pix[0] = float32(i) / 10
		imgs = append(imgs, img)
	}
	return imgs, nil
}

func (r ramp) KL() (float64, bool) { return 0.25, true }

func protocol() *Protocol {
	return &Protocol{
		Prompts:   []task.Prompt{{ID: 7, Text: "x", Category: "c"}, {ID: 9, Text: "y", Category: "d"}},
		PerPrompt: 2,
		Reward:    brightness{name: "bright", fails: 1},
		Extra:     []reward.Reward{brightness{name: "extra", fails: -1}},
		Judge:     brightness{name: "judge", fails: -1},
	}
}

func TestProtocolRun(t *testing.T) {
	m, imgs, err := protocol().Run(t.Context(), ramp{}, SDE10)
	if err != nil || len(imgs) != 4 {
		t.Fatalf("%d pictures, error %v", len(imgs), err)
	}
	if m.Score.Failed != 1 || m.KL != 0.25 {
		t.Errorf("failed %d, KL %v", m.Score.Failed, m.KL)
	}
	row := m.Rows[3]
	want := Row{Prompt: 9, Text: "y", Category: "d", Sample: 1, Reward: Number(float32(0.3)), Judge: Number(float32(0.3)),
		Rewards: map[string]Number{"bright/half": Number(float32(0.3)) / 2, "extra": Number(float32(0.3)),
			"extra/half": Number(float32(0.3)) / 2}}
	if diff := cmp.Diff(want, row); diff != "" {
		t.Errorf("row (-want +got):\n%s", diff)
	}
	if m.Rows[1].Error != "unreadable" || m.Rows[1].Reward.Known() {
		t.Errorf("a failed sample is %+v", m.Rows[1])
	}
	if m, _, _ := protocol().Run(t.Context(), ramp{}, ODE40); m.KL.Known() {
		t.Error("the ODE has no KL")
	}
}

// A best is a groupwise reward: 1 for the best sample of a prompt, else 0.
type best struct{ brightness }

func (best) Info() reward.Info { return reward.Info{Groupwise: true} }

func (b best) Score(ctx context.Context, batch []reward.Sample) ([]reward.Result, error) {
	results, err := b.brightness.Score(ctx, batch)
	at := 0
	for _, group := range reward.Groups(batch) {
		of := results[at : at+len(group)]
		top := 0.0
		for _, r := range of {
			top = max(top, r.Score)
		}
		for i := range of {
			of[i].Score = max(0, 1+of[i].Score-top)
		}
		at += len(group)
	}
	return results, err
}

// The samples of a prompt are a group for every scorer, and come together.
func TestProtocolGroups(t *testing.T) {
	t.Parallel()
	p := protocol()
	scorer := best{brightness{name: "best", fails: -1}}
	p.Reward, p.Extra, p.Judge = scorer, []reward.Reward{scorer}, scorer
	m, _, err := p.Run(t.Context(), ramp{}, ODE40)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range m.Rows { // pictures of 0, 0.1 │ 0.2, 0.3
		want := Number(1 + float64(float32(i)/10) - float64(float32(i|1)/10))
		if r.Reward != want || r.Judge != want || r.Rewards["best"] != want {
			t.Errorf("row %d: reward %v, judge %v, %v; want %v", i, r.Reward, r.Judge, r.Rewards, want)
		}
	}
}

func TestProtocolErrors(t *testing.T) {
	dead := errors.New("service is down")
	for name, change := range map[string]func(*Protocol){
		"reward": func(p *Protocol) { p.Reward = brightness{name: "r", err: dead} },
		"extra":  func(p *Protocol) { p.Extra = []reward.Reward{brightness{name: "r", err: dead}} },
		"judge":  func(p *Protocol) { p.Judge = brightness{name: "r", err: dead} },
	} {
		p := protocol()
		change(p)
		if _, _, err := p.Run(t.Context(), ramp{}, ODE40); !errors.Is(err, dead) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	if _, _, err := protocol().Run(t.Context(), ramp{lost: 1}, ODE40); err == nil {
		t.Error("a missing picture went unnoticed")
	}
}

// TestResultShape checks result.json against the keys that readers rely on.
func TestResultShape(t *testing.T) {
	p := protocol()
	m, _, err := p.Run(t.Context(), ramp{}, ODE40)
	if err != nil {
		t.Fatal(err)
	}
	base := Evaluation{Weights: "base", Modes: []ModeScore{m}}
	tuned := Evaluation{Iteration: 5, Weights: "ema", Modes: []ModeScore{m}}
	r := Result{Task: "toy", Seconds: 3, Base: NewOutcome(base), Tuned: NewOutcome(tuned),
		Gain: Gains(base, tuned, Options{Resamples: 10})}
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Task        string
		Seconds     float64
		Base, Tuned struct {
			Reward, Judge      float64
			Frechet, Diversity *float64
			Categories         map[string]float64
			Modes              map[string]struct{ Reward float64 }
		}
		Gain map[string]struct{ Mean float64 }
	}
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if got.Base.Categories["d"] == 0 || got.Tuned.Reward == 0 || got.Base.Frechet != nil ||
		got.Tuned.Modes["ode40"].Reward != got.Tuned.Reward || len(got.Gain) == 0 {
		t.Errorf("result.json reads back as %+v", got)
	}
	var back Result
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r, back, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("result.json does not round-trip:\n%s", diff)
	}
}

func TestGains(t *testing.T) {
	eval := func(rewards ...Number) Evaluation {
		var rows []Row
		for i, r := range rewards {
			rows = append(rows, Row{Prompt: uint32(i), Category: "c", Reward: r, Judge: NaN()})
		}
		return Evaluation{Modes: []ModeScore{{Rows: rows}}}
	}
	// Every prompt gains exactly 0.25, so the paired interval is a point although
	// the rewards themselves spread over [0, 1].
	g := Gains(eval(0, 0.25, 0.5, 0.75), eval(0.25, 0.5, 0.75, 1), Options{Resamples: 50})
	if r := g["reward"]; r.Mean != 0.25 || r.Interval != [2]Number{0.25, 0.25} {
		t.Errorf("gain %+v", r)
	}
	if _, ok := g["judge"]; ok {
		t.Error("a judge that never judged has a gain")
	}
	if g := Gains(eval(1), eval(1, 2), Options{}); len(g) != 0 {
		t.Error("evaluations of different prompts were compared")
	}
}

func TestWatch(t *testing.T) {
	good := Point{0, 0.6, 0.58, 3, 0.8}
	for _, test := range []struct {
		name   string
		last   Point
		middle []Point
		want   []string
	}{
		{"healthy", Point{50, 0.93, 0.9, 3.1, 0.78}, nil, nil},
		{"no change", Point{50, 0.6, 0.4, 9, 0.1}, nil, nil},
		{"judge falls", Point{50, 0.93, 0.5, 3, 0.8}, nil, []string{JudgeFalls}},
		{"judge falls late", Point{50, 0.95, 0.8, 3, 0.8}, []Point{{25, 0.9, 0.88, 3, 0.8}}, []string{JudgeFalls}},
		{"judge lags", Point{50, 0.93, 0.7, 3, 0.8}, nil, []string{JudgeLags}},
		{"less real", Point{50, 0.93, 0.9, 3.4, 0.8}, nil, []string{FrechetRises}},
		{"collapse", Point{50, 0.93, 0.9, 3, 0.7}, nil, []string{DiversityFalls}},
		{"all of it", Point{50, 0.99, 0.2, 30, 0.1}, nil, []string{JudgeFalls, FrechetRises, DiversityFalls}},
		{"past the best", Point{50, 0.7, 0.68, 3, 0.8}, []Point{{25, 0.9, 0.88, 3, 0.8}}, []string{PastBest}},
		{"only reward known", Point{50, 0.93, NaN(), NaN(), NaN()}, nil, nil},
	} {
		history := append(append([]Point{good}, test.middle...), test.last)
		var names []string
		for _, w := range Watch(history, DefaultLimits()) {
			names = append(names, w.Name)
			if w.Iteration != 50 || !strings.HasSuffix(w.Message, ".") {
				t.Errorf("%s: warning %+v", test.name, w)
			}
		}
		if diff := cmp.Diff(test.want, names); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
	if ws := Watch([]Point{good}, DefaultLimits()); ws != nil {
		t.Errorf("a single point warns: %v", ws)
	}
}

// TestGainsArePaired: where samples failed, a gain is over those that were scored both
// times, as in this example by hand, and the failures are told.
func TestGainsArePaired(t *testing.T) {
	evaluation := func(b, c [2]Number) Evaluation {
		var rows []Row
		for i, r := range []Number{b[0], b[1], c[0], c[1]} {
			row := Row{Prompt: uint32(i / 2), Category: []string{"b", "c"}[i/2], Sample: i % 2, Reward: r, Judge: NaN(), Rewards: map[string]Number{"x": r}}
			if !r.Known() {
				row.Error, row.Causes = "x: sample", []string{"x: timed out"}
			}
			rows = append(rows, row)
		}
		return Evaluation{Modes: []ModeScore{{Rows: rows, Score: Summarize(rows, nil, Options{}), KL: NaN()}}}
	}
	// The samples of b gain 0.1, those of c 0.2. The means alone say 0.8 - 0.35: b, which is
	// low, mostly failed after training.
	base, tuned := evaluation([2]Number{0, 0.2}, [2]Number{0.6, 0.6}), evaluation([2]Number{NaN(), NaN()}, [2]Number{0.8, NaN()})
	r := Result{Base: NewOutcome(base), Tuned: NewOutcome(tuned), Gain: Gains(base, tuned, Options{Resamples: 20})}
	for _, name := range []string{"reward", "categories/c", "rewards/x"} {
		if g := r.Gain[name]; !near(g.Mean, 0.2) || g.Samples != 1 {
			t.Errorf("gain of %s is %+v, want 0.2 over 1 sample", name, g)
		}
	}
	if g := Gains(tuned, base, Options{})["reward"]; !near(g.Mean, -0.2) || g.Samples != 1 {
		t.Errorf("the other way round the gain is %+v, want -0.2 over 1 sample", g)
	}
	if g, ok := r.Gain["categories/b"]; ok {
		t.Errorf("a category that was scored once has the gain %v", g)
	}
	if v, ok := r.Tuned.Categories["b"]; !ok || v.Known() {
		t.Errorf("the category without a score is %v, %t; want NaN", v, ok)
	}
	for _, want := range []string{"base 0 of 4, tuned 3 of 4", "(3 times) by x: timed out", "over 1."} {
		if !strings.Contains(r.Unscored(), want) {
			t.Errorf("%q does not say %q", r.Unscored(), want)
		}
	}
	if got := bars(&r); len(got) != 2 || got[0].Tuned != "–" || got[0].Gain != "–" || got[1].Gain != "+0.200" {
		t.Errorf("bars are %+v", got)
	}
	if got := tuned.Modes[0].Score.Unscored(); !strings.HasPrefix(got, "3 of the 4 samples") {
		t.Errorf("the evaluation says %q", got)
	}
	none := evaluation([2]Number{NaN(), NaN()}, [2]Number{NaN(), NaN()})
	if got := none.Modes[0].Score.Unscored(); !strings.HasPrefix(got, "none of the 4 samples") {
		t.Errorf("an evaluation without any score says %q", got)
	}
	if got := (Result{Base: NewOutcome(base), Tuned: NewOutcome(base)}).Unscored(); got != "" {
		t.Errorf("without failures: %q", got)
	}
}

// Every reward of a sum has a row, also one that scores nothing, and no part does.
func TestRewardNames(t *testing.T) {
	p := protocol()
	sum, err := reward.NewWeighted("total", reward.Term{Reward: brightness{name: "a", fails: -1}, Weight: 1}, reward.Term{Reward: brightness{name: "b", fails: 1}, Weight: 0})
	if err != nil {
		t.Fatal(err)
	}
	p.Reward = sum
	m, _, err := p.Run(t.Context(), ramp{}, ODE40)
	if err != nil {
		t.Fatal(err)
	}
	o := NewOutcome(Evaluation{Modes: []ModeScore{m}})
	if got := (Result{Base: o, Tuned: o}).RewardNames(); !slices.Equal(got, []string{"a", "b", "extra"}) {
		t.Errorf("rewards are %q", got)
	}
	if _, ok := o.Rewards["a/half"]; !ok {
		t.Errorf("a part is missing: %v", o.Rewards)
	}
}
