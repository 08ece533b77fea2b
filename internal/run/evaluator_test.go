package run

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"flowgrpo/eval"
	"flowgrpo/grpo"
	"flowgrpo/internal/config"
	"flowgrpo/internal/optim"
	"flowgrpo/task"
)

func TestDeal(t *testing.T) {
	var prompts []task.Prompt
	for i := range 30 {
		p := task.Prompt{ID: uint32(i), Category: "common"}
		if i >= 24 {
			p.Category = "rare"
		}
		prompts = append(prompts, p)
	}
	dealt := deal(prompts)
	seen, rare := map[uint32]bool{}, 0
	for i, p := range dealt {
		seen[p.ID] = true
		if p.Category == "rare" {
			rare++
		}
		if i == 11 && rare != 6 {
			t.Errorf("%d rare prompts among the first 12, want all 6", rare)
		}
	}
	if len(dealt) != 30 || len(seen) != 30 {
		t.Errorf("%d prompts, %d different ones, want 30", len(dealt), len(seen))
	}
	if cmp.Equal(dealt[12:], prompts[6:24]) {
		t.Error("prompts keep the order of their file")
	}
	if !cmp.Equal(dealt, deal(prompts)) {
		t.Error("the order changes from call to call")
	}
}

// The evaluations along the way are part of the full protocol: same samples, same
// scores, wherever they come from; also where a score depends on how many samples a prompt has.
func TestCourseIsPartOfFull(t *testing.T) {
	model := tinyModel(t, "glyphs")
	for _, sets := range [][]string{nil, {"reward.variety.kind=diversity", "reward.variety.when=evaluation"}} {
		checkCourseIsPartOfFull(t, openTiny(t, "glyphs", model, append(sets,
			"eval.prompts=2", "eval.samples_per_prompt=2", "eval.final_samples_per_prompt=3")...))
	}
}

func checkCourseIsPartOfFull(t *testing.T, s *Session) {
	t.Helper()
	e := s.evaluator(Silent{})
	base := samplerOf(t, s, s.base, nil)
	full, part, err := e.full(t.Context(), base, 0)
	if err != nil {
		t.Fatal(err)
	}
	course, err := e.course(t.Context(), base, 0)
	if err != nil {
		t.Fatal(err)
	}
	part.Modes[0].Seconds, course.Modes[0].Seconds = 0, 0
	if diff := cmp.Diff(course, part); diff != "" {
		t.Errorf("part of the full protocol differs from the course (-course +part):\n%s", diff)
	}
	var names []string
	for _, m := range full.Modes {
		names = append(names, fmt.Sprintf("%s %d", m.Mode.Name, m.Score.Samples))
	}
	if want := []string{"ode3 12", "sde3 4", "sde4 4"}; !cmp.Equal(names, want) {
		t.Errorf("modes and sample counts are %q, want %q", names, want)
	}
}

// divergence moves all trained weights and returns their model's divergence from s.base
// per sample.
func divergence(t *testing.T, s *Session, mode eval.Mode, move float32) (float64, bool) {
	t.Helper()
	theta := s.Model.Theta().Copy()
	for i := range theta.Trainable() {
		theta.Trainable()[i] += move
	}
	tuned := samplerOf(t, s, theta, samplerOf(t, s, s.base, nil))
	if _, err := tuned.Sample(t.Context(), s.Problem.HeldOut[:3], 2, mode); err != nil {
		t.Fatal(err)
	}
	return tuned.KL()
}

func TestDivergence(t *testing.T) {
	s := openTiny(t, "glyphs", tinyModel(t, "glyphs"))
	coarse := eval.Mode{Name: "sde4", Steps: 4, Stochastic: true}
	if kl, known := divergence(t, s, coarse, 0); !known || kl != 0 {
		t.Errorf("divergence of the base from itself is %v, %t, want exactly 0", kl, known)
	}
	small, _ := divergence(t, s, coarse, 1e-3)
	large, _ := divergence(t, s, coarse, 2e-3)
	// Divergence is quadratic in a small change; a tenth is room for what is not.
	if ratio := large / small; math.Abs(ratio-4) > 0.4 {
		t.Errorf("twice the change has %.2f times the divergence (%g and %g), want 4", ratio, small, large)
	}
	if _, known := divergence(t, s, eval.Mode{Name: "sde3", Steps: 3, Stochastic: true}, 1); known {
		t.Error("a divergence is known where it was not measured")
	}
	if _, known := divergence(t, s, eval.Mode{Name: "ode3", Steps: 3}, 1); known {
		t.Error("the ODE has a divergence")
	}
}

// Along the way the divergence is the full protocol's, on fewer prompts; it costs a tenth of
// the course's evaluation at most.
func TestCourseDivergence(t *testing.T) {
	s := openTiny(t, "glyphs", tinyModel(t, "glyphs"), "eval.final_prompts=1")
	theta := s.Model.Theta().Copy()
	for i := range theta.Trainable() { // of an adapter, both factors
		theta.Trainable()[i] += 0.1
	}
	e, base := s.evaluator(Silent{}), samplerOf(t, s, s.base, nil)
	tuned := samplerOf(t, s, theta, base)
	full, _, err := e.full(t.Context(), tuned, 1)
	if err != nil {
		t.Fatal(err)
	}
	kl, err := e.divergence(t.Context(), tuned)
	if want := full.Modes[len(full.Modes)-1].KL; err != nil || kl != want || !(kl > 0) {
		t.Errorf("divergence is %v, want %v as by the full protocol, %v", kl, want, err)
	}
	if kl, err := e.divergence(t.Context(), base); err != nil || kl != 0 {
		t.Errorf("divergence of the base is %v, want 0, %v", kl, err)
	}
	c := s.Config
	c.Eval.Steps, c.Rollout.Steps, c.Eval.SamplesPerPrompt = 40, 10, 2
	for course, want := range map[int]int{1: 1, 20: 8, 80: 32, 400: 32} {
		c.Eval.Prompts = course
		if got := e.divergencePrompts(); got != want {
			t.Errorf("%d prompts in the course: %d for the divergence, want %d", course, got, want)
		}
	}
}

func TestHeadline(t *testing.T) {
	p := shapesProblem()
	for _, tt := range []struct {
		reason string
		sets   []string
		name   string
		judged bool
	}{
		{"training mixes soft and strict, the result is strict", nil, "geneval", true},
		{"another reward has no judge", []string{"reward.strict.weight=0", "reward.soft.weight=0", "reward.bright.kind=brightness"}, "total", false},
	} {
		c := load(t, "shapes", tt.sets...)
		rs, err := openRewards(c, p.deps)
		if err != nil {
			t.Fatal(err)
		}
		headline, judge, _ := p.headline(c, rs.total)
		if headline.Name() != tt.name || (judge != nil) != tt.judged {
			t.Errorf("%s: headline %q, judge %v", tt.reason, headline.Name(), judge)
		}
	}
}

func TestMeasure(t *testing.T) {
	e := math.Exp
	stats := grpo.Stats{
		Iteration: 4, Groups: 4, ZeroSignal: 1, Failed: 2, Samples: 12, Reward: grpo.Moments{Mean: 0.5, Std: 0.25, N: 10},
		Parts: map[string]grpo.Moments{"text": {Mean: 0.5}},
		Updates: []grpo.Pass{
			{Loss: 0.25, Penalty: 0.125, Anchor: 0.75, EMA: 0.5, Update: optim.Update{Norm: 2, Clipped: true, LR: 1e-3}, Terms: []grpo.Term{
				{Step: 0, KL: 1}, {Step: 2, KL: 3}}},
			{Loss: 0.75, Penalty: 0.25, EMA: 0.6, Update: optim.Update{Norm: 4, LR: 2e-3}, Terms: []grpo.Term{
				{Step: 0, KL: 1, LogRatio: 0.1, Clipped: 1}, {Step: 2, KL: 3, LogRatio: -0.3, Clipped: -1}}},
			{Skipped: &grpo.NonFiniteError{}},
		},
	}
	std := math.Abs(e(0.1)-e(-0.3)) / 2 // of two values
	want := eval.Metrics{
		"iteration": 5, "reward/mean": 0.5, "reward/std": 0.25, "reward/failed": 2, "reward/text/mean": 0.5,
		"group/zero_signal": 0.25, "group/std_mean": 0, "advantage/abs_mean": 0,
		"ratio/mean": eval.Number((2 + e(0.1) + e(-0.3)) / 4), "ratio/std": eval.Number(std), "ratio/max_abs_dlogp_first_pass": 0,
		"clip/fraction": 0.5, "clip/fraction_high": 0.25, "clip/fraction_low": 0.25,
		"kl/ref":      4, // two samples of two steps, 1 + 3 each
		"loss/policy": 1.0 / 3, "loss/anchor": 0.25, "loss/total": (1 + 0.375 + 0.75) / 3, "grad/norm": 3, "grad/clipped": 0.5, "lr": 2e-3, "ema/decay": 0.6, "update/skipped": 1,
		"step/0/kl": 1, "step/2/kl": 3, "step/0/ratio_std": 0, "step/2/ratio_std": 0,
		"time/rollout": 0, "time/reward": 0, "time/update": 0,
	}
	const rounding = 1e-12
	near := cmp.Comparer(func(a, b eval.Number) bool { return math.Abs(float64(a-b)) <= rounding })
	if diff := cmp.Diff(want, measure(stats, config.GRPO{KLCoef: 1, AnchorCoef: 1}), near); diff != "" {
		t.Errorf("figures differ (-want +got):\n%s", diff)
	}
}

// What the loss has is measured where it is 0 or not a number, and nothing else is.
func TestMeasureSaysWhatTheLossHas(t *testing.T) {
	for _, tt := range []struct {
		name         string
		coef         config.GRPO
		value        float64 // of KL and anchors
		kl, anchored bool
	}{
		{"neither", config.GRPO{}, 0, false, false},
		{"KL of 0", config.GRPO{KLCoef: 1}, 0, true, false},
		{"anchors of 0", config.GRPO{AnchorCoef: 1}, 0, true, true},
		{"not a number", config.GRPO{AnchorCoef: 1}, math.NaN(), true, true},
	} {
		terms := []grpo.Term{{Step: 0, KL: tt.value}, {Step: 1}}
		m := measure(grpo.Stats{Updates: []grpo.Pass{{Anchor: tt.value, Terms: terms}}}, tt.coef)
		for key, want := range map[string]bool{"kl/ref": tt.kl, "step/0/kl": tt.kl, "loss/anchor": tt.anchored} {
			v, ok := m[key]
			if ok != want || ok && math.IsNaN(float64(v)) != math.IsNaN(tt.value) {
				t.Errorf("%s: %s is %v, measured: %v, want %v, measured: %v", tt.name, key, v, ok, tt.value, want)
			}
		}
	}
}

func TestModelCard(t *testing.T) {
	number := eval.Outcome{Score: eval.Score{Reward: 0.5, Judge: eval.NaN(), Categories: map[string]eval.Number{"counting": 0.25}}}
	c := config.Default()
	card, err := modelCard(eval.RunInfo{Name: "r", Command: []string{"finetune", "train", "--set", "name=it's", ""}},
		eval.Result{Task: "shapes", Base: number, Tuned: number, Warnings: []eval.Warning{{Name: "past-best", Message: "m"}}}, &c)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"\n```\nfinetune train --set 'name=it'\\''s' ''\n```\n", "| reward | 0.500 | 0.500 |", "| independent judge | – | – |",
		"| counting | 0.250 | 0.250 |", "- **past-best**: m\n", "\n[rollout]\n",
	} {
		if !strings.Contains(string(card), want) {
			t.Errorf("model card lacks %q:\n%s", want, card)
		}
	}
}

func TestListRuns(t *testing.T) {
	parent := t.TempDir()
	if runs, err := List(filepath.Join(parent, "none")); runs != nil || err != nil {
		t.Errorf("runs of a folder that is not there: %v, %v", runs, err)
	}
	for name, info := range map[string]eval.RunInfo{
		"a": {State: done}, "b": {State: running, PID: 1 << 30},
	} {
		f, err := createFolder(filepath.Join(parent, name), info, "", &config.Config{})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(f.state(info.State), f.lock.Close()); err != nil {
			t.Fatal(err)
		}
	}
	for name, lines := range map[string]string{"a": "{\"iteration\":1}\n{\"iteration\":2}\n{\"iter", "b": "{\"iteration\":1}\nbroken\n"} {
		if err := os.WriteFile(filepath.Join(parent, name, metricsFile), []byte(lines), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	runs, err := List(parent)
	if len(runs) == 2 && (runs[0].Done != 2 || runs[1].Done.Known()) {
		t.Errorf("%g and %g iterations are done, want 2 and not known", runs[0].Done, runs[1].Done)
	}
	if err != nil || len(runs) != 2 || runs[0].Info.State != done || runs[1].Info.State != "interrupted" {
		t.Errorf("runs: %+v, %v", runs, err)
	}
	broken := filepath.Join(parent, "b", runFile)
	if err := os.WriteFile(broken, []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if runs, err := List(parent); len(runs) != 1 || err == nil || !strings.Contains(err.Error(), broken) {
		t.Errorf("runs beside a broken one: %+v, %v, want one and an error that names %s", runs, err, broken)
	}
}
