package run

import (
	"regexp"
	"testing"

	"flowgrpo/internal/config"
	"flowgrpo/policy"
	"flowgrpo/reward"
	"flowgrpo/sde"
)

// Every reward with a weight has a share, and no other.
func TestShares(t *testing.T) {
	var terms []reward.Term
	for name, weight := range map[string]float64{"a": 1, "b": 0, "c": -2} {
		r, err := reward.New("brightness", name, nil, reward.Deps{})
		if err != nil {
			t.Fatal(err)
		}
		terms = append(terms, reward.Term{Reward: r, Weight: weight})
	}
	total, err := reward.NewWeighted("total", terms...)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, s := range shares("each", total) {
		got[s.Part] = s.Weight
	}
	if len(got) != 2 || got["a"] != 1 || got["c"] != -2 || shares("sum", total) != nil {
		t.Errorf("shares are %v, want those of a and c; for a sum %v, want none", got, shares("sum", total))
	}
}

// TestEveryWordIsWired gives every word that a recipe may use to the function that
// turns it into a type, which panics for a word that it does not know.
func TestEveryWordIsWired(t *testing.T) {
	net := &policy.MMDiT{PatchSize: 4, Height: 16, Width: 48}
	rollout := func(set func(*config.Rollout, string)) func(string) {
		return func(word string) {
			r := config.Default().Rollout
			r.WindowSize, r.WindowSteps, r.WindowRange = 2, []int{1}, []int{1, 4}
			set(&r, word)
			s := schedule(r, net, 10)
			if s.Steps() != 10 {
				t.Errorf("%q: %d steps, want 10", word, s.Steps())
			}
			dynamics(r, s).Transition(s.Step(1))
			window(r)
		}
	}
	wired := map[string]func(string){
		"task.world":             func(string) {}, // TestEveryRecipe opens each
		"train.mode":             func(string) {},
		"rollout.dynamics":       rollout(func(r *config.Rollout, w string) { r.Dynamics = w }),
		"rollout.schedule":       rollout(func(r *config.Rollout, w string) { r.Schedule = w }),
		"rollout.window":         rollout(func(r *config.Rollout, w string) { r.Window = w }),
		"grpo.ratio":             func(w string) { ratio(w) },
		"grpo.step_weight":       func(w string) { stepWeight(w) },
		"grpo.kl":                func(w string) { klForm(w) },
		"grpo.advantage":         func(w string) { shares(w, &reward.Weighted{}) },
		"grpo.advantage_std":     func(w string) { spread(w) },
		"optimizer.schedule":     func(w string) { rate(w, 1, 10, 0.1).Factor(3) },
		"pretrain.schedule":      func(w string) { rate(w, 1, 10, 0.1).Factor(3) },
		"eval.solver":            func(w string) { solver(w) },
		"pretrain.crop":          func(w string) { crop(w) },
		"device.use":             func(string) {}, // compared in devices.go
		"device.precision":       func(w string) { precision(w) },
		"device.frozen":          func(w string) { frozenInt8(w) },
		"device.products":        func(w string) { split(w) },
		"monitor.action":         func(string) {}, // compared in watch
		"reward.NAME.when":       func(string) {}, // compared in openTerm
		"reward.NAME.on_failure": func(w string) { onFailure(w) },
		"network.kind":           func(string) {}, // one word
		"network.qk_norm":        func(string) {}, // passed on
	}
	word := regexp.MustCompile(`"([^"]*)"`)
	for _, k := range config.Keys() {
		words := word.FindAllStringSubmatch(k.Allowed, -1)
		if len(words) == 0 {
			continue
		}
		wire, ok := wired[k.Key]
		if !ok {
			t.Errorf("no test knows how %s is wired", k.Key)
			continue
		}
		for _, w := range words {
			wire(w[1])
		}
	}
}

func TestUnknownWordPanics(t *testing.T) {
	for name, f := range map[string]func(){
		"ratio":  func() { ratio("median") },
		"solver": func() { solver("rk4") },
		"window": func() { window(config.Rollout{Window: "some"}) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: an unknown word passes", name)
				}
			}()
			f()
		}()
	}
}

// Each word must give a type of its own.
func TestWordsDiffer(t *testing.T) {
	r := config.Default().Rollout
	seen := map[sde.Transition]string{}
	for _, name := range []string{"precise", "flow-sde", "cps", "dance-sde"} {
		r.Dynamics = name
		s := sde.Uniform(10)
		tr := dynamics(r, s).Transition(s.Step(4))
		if other, ok := seen[tr]; ok {
			t.Errorf("%s and %s are the same", name, other)
		}
		seen[tr] = name
	}
	net := &policy.MMDiT{PatchSize: 4, Height: 16, Width: 48}
	times := map[float64]string{}
	for _, name := range []string{"uniform", "shift", "sd3", "flux"} {
		r.Schedule = name
		s := schedule(r, &policy.Guided{Network: &policy.Captioned{Network: net, Text: policy.NewTextEncoder(2, 1, 1, nil)}}, 10)
		if other, ok := times[s[5]]; ok {
			t.Errorf("%s and %s are the same", name, other)
		}
		times[s[5]] = name
	}
}
