package grpo

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"flowgrpo/internal/kernel"
	"flowgrpo/policy"
	"flowgrpo/reward"
	"flowgrpo/rollout"
	"flowgrpo/sde"
)

// A run is the same, bit for bit, for any number of workers, any rollout batch, any
// GOMAXPROCS and any instruction set of the machine: metrics, weights and moving average.
func TestTrainerIsInvariant(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	defer kernel.SetLevel(kernel.Current())
	best := kernel.Current()
	for name, build := range map[string]func() options{"full": fullRun, "lora": loraRun, "branch": branchRun, "split": splitRun} {
		t.Run(name, func(t *testing.T) {
			var want outcome
			for i, c := range []struct {
				workers, batch, procs int
				level                 kernel.Level
			}{
				{1, 1, 1, best}, {2, 7, 2, best}, {3, 64, 1, kernel.AVX2}, {8, 1, 2, kernel.Portable},
			} {
				runtime.GOMAXPROCS(c.procs)
				kernel.SetLevel(c.level)
				if name == "split" && kernel.Current() == kernel.Portable {
					continue // slow: the long test has it
				}
				o := build()
				o.workers, o.batch = c.workers, c.batch
				got := runTiny(t, newTrainer(o), 2)
				if i == 0 {
					want = got
					continue
				}
				if d := cmp.Diff(want.stats, got.stats, cmpopts.EquateErrors()); d != "" {
					t.Errorf("workers %d, batch %d, %v: metrics differ:\n%s", c.workers, c.batch, kernel.Current(), d)
				}
				if !sameBits(got.weights, want.weights) || !sameBits(got.average, want.average) {
					t.Errorf("workers %d, batch %d, %v: weights differ", c.workers, c.batch, kernel.Current())
				}
			}
		})
	}
}

func fullRun() options {
	return options{model: tinyModel(), loss: defaultLoss(), sampling: tinySampling(), reward: level{}, passes: 2}
}

// loraRun turns on everything that fullRun leaves off.
func loraRun() options {
	o := fullRun()
	if err := o.model.AddLoRA(policy.LoRA{Rank: 2, Alpha: 4, Targets: []string{"to_q", "to_v", "proj_out"}}, 1); err != nil {
		panic(err)
	}
	scramble(o.model.Adapter, 8)
	if err := o.model.Guide(2); err != nil {
		panic(err)
	}
	o.loss = Loss{
		Ratio: Guard{}, Weight: BySensitivity{}, ClipRange: 1e-3, KLCoef: 0.1, KL: ExactKL{},
		Spread: GlobalStd, AdvantageLimit: 1.5, AnchorCoef: 0.3,
	}
	o.sampling.Window, o.sampling.SharedNoise = sde.RandomSubset{Size: 2}, true
	o.keep = 3
	return o
}

// splitRun is loraRun in split products.
func splitRun() options {
	o := loraRun()
	o.model.Split = true
	return o
}

// branchRun follows the ODE from noise that a group shares up to a late window, and makes
// advantages of each part of the reward.
func branchRun() options {
	o := fullRun()
	o.loss.Shares = []Share{{"level", 2}, {"mean", -1}}
	o.sampling.Window, o.sampling.SharedNoise = sde.Fixed{Steps: []int{2, 3}}, true
	return o
}

type outcome struct {
	stats            []Stats
	weights, average []float32
}

func runTiny(t *testing.T, tr *Trainer, iterations int) outcome {
	t.Helper()
	var out outcome
	for range iterations {
		s, err := tr.Iterate(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		s.Seconds = Timing{}
		out.stats = append(out.stats, s)
	}
	out.weights = slices.Clone(tr.Model.Theta().Trainable())
	out.average = slices.Clone(tr.EMA.Average.Trainable())
	return out
}

func sameBits(a, b []float32) bool {
	return slices.EqualFunc(a, b, func(x, y float32) bool { return math.Float32bits(x) == math.Float32bits(y) })
}

// On the first pass Δ log p is exactly 0 and the loss is minus the mean weighted
// advantage; on the second the policy has moved.
func TestFirstPassIsOnPolicy(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]options{"full": fullRun(), "lora": loraRun(), "branch": branchRun()} {
		o.workers, o.batch = 1, 5
		for _, s := range runTiny(t, newTrainer(o), 2).stats {
			if len(s.Updates) != 2 || s.FirstPass != 0 {
				t.Fatalf("%s: %d passes, first with |Δ log p| = %g", name, len(s.Updates), s.FirstPass)
			}
			moved := false
			for i, pass := range s.Updates {
				for _, term := range pass.Terms {
					if i == 0 && (term.DeltaLogp != 0 || term.LogRatio != 0 || term.Clipped != 0) {
						t.Errorf("%s: first pass: %+v", name, term)
					}
					moved = moved || i == 1 && term.DeltaLogp != 0
				}
			}
			if !moved {
				t.Errorf("%s: the second pass is on-policy too: the first changed nothing", name)
			}
		}
	}
}

// A log-probability that rollout and update disagree about stops the run before
// anything is updated.
func TestDriftStopsTheRun(t *testing.T) {
	t.Parallel()
	o := fullRun()
	o.workers, o.batch = 1, 5
	tr := newTrainer(o)
	before := slices.Clone(o.model.Theta().Trainable())
	tr.Reward = corrupting{tr}
	_, err := tr.Iterate(context.Background())
	var drift *DriftError
	if !errors.As(err, &drift) || drift.Iteration != 0 || drift.Delta == 0 {
		t.Fatalf("error %v, want a DriftError", err)
	}
	before[o.model.Weights.Offset("proj_out.bias")] = o.model.Weights.Tensor("proj_out.bias")[0]
	if !sameBits(before, o.model.Theta().Trainable()) || tr.EMA.Updates != 0 || tr.Adam.Updates != 0 {
		t.Error("the weights were updated")
	}
}

// corrupting moves the weights between rollout and update, by one bit of one bias
// that every velocity contains: when the last group is scored, one worker draws no more.
type corrupting struct{ tr *Trainer }

func (corrupting) Name() string { return "corrupting" }

func (c corrupting) Score(ctx context.Context, batch []reward.Sample) ([]reward.Result, error) {
	if batch[0].Group == c.tr.Groups-1 {
		w := c.tr.Model.Weights.Tensor("proj_out.bias")
		w[0] = math.Nextafter32(w[0], 9)
	}
	return level{}.Score(ctx, batch)
}

// Scores that are NaN count as failures; a group of them has no signal, and
// nothing of it reaches the weights.
func TestNaNReward(t *testing.T) {
	t.Parallel()
	for _, spread := range []Spread{GroupStd, GlobalStd} {
		o := fullRun()
		o.workers, o.batch, o.reward, o.loss.Spread = 1, 5, broken{}, spread
		tr := newTrainer(o)
		before := slices.Clone(o.model.Theta().Trainable())
		s := runTiny(t, tr, 1).stats[0]
		if s.Failed != 16 || s.Failure == nil || s.ZeroSignal != 4 || len(s.Updates) != 0 {
			t.Errorf("failed %d (%v), without signal %d, %d updates; want 16, 4, none", s.Failed, s.Failure, s.ZeroSignal, len(s.Updates))
		}
		if !sameBits(before, o.model.Theta().Trainable()) {
			t.Error("the weights were updated")
		}
	}
}

type broken struct{}

func (broken) Name() string { return "broken" }

func (broken) Score(_ context.Context, batch []reward.Sample) ([]reward.Result, error) {
	results := make([]reward.Result, len(batch))
	for i := range results {
		results[i].Score = math.NaN()
	}
	return results, nil
}

// A loss or a gradient that is not finite leaves weights, moments and average as
// they were, bit for bit, and the run goes on.
func TestNonFiniteUpdate(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		beta float64
	}{
		{"gradient beyond float32", 1e300},
		{"loss is NaN", math.NaN()},
	} {
		o := fullRun()
		o.workers, o.batch, o.loss.KLCoef = 1, 5, c.beta
		if math.IsNaN(c.beta) {
			o.loss.KLCoef, o.loss.ClipRange = 0, math.NaN()
		}
		tr := newTrainer(o)
		scramble(tr.Model.Weights, 11) // away from the reference, so that KL has a gradient
		before := slices.Clone(o.model.Theta().Trainable())
		average := slices.Clone(tr.EMA.Average.Trainable())
		for _, pass := range runTiny(t, tr, 1).stats[0].Updates {
			if pass.Skipped == nil {
				t.Errorf("%s: the update was applied", c.name)
			}
		}
		if !sameBits(before, o.model.Theta().Trainable()) || !sameBits(average, tr.EMA.Average.Trainable()) || tr.Adam.Updates != 0 {
			t.Errorf("%s: something was updated", c.name)
		}
	}
}

// The error of a dead reward names the iteration and the part.
func TestRewardErrorIsReported(t *testing.T) {
	t.Parallel()
	o := fullRun()
	o.workers, o.batch, o.reward = 2, 5, dead{}
	_, err := newTrainer(o).Iterate(context.Background())
	if !errors.Is(err, errDead) || !strings.HasPrefix(err.Error(), "iteration 1: reward: ") {
		t.Errorf("error %v, want %v of iteration 1, reward", err, errDead)
	}
}

var errDead = fmt.Errorf("no service")

type dead struct{}

func (dead) Name() string { return "dead" }
func (dead) Score(context.Context, []reward.Sample) ([]reward.Result, error) {
	return nil, errDead
}

// Only groups with a signal are trained, and of these every sample that was scored, or
// the best and the worst: one whose advantage is 0 still has its KL. Passes share the
// groups in order.
func TestSlices(t *testing.T) {
	t.Parallel()
	o := fullRun()
	o.workers, o.batch = 1, 5
	tr := newTrainer(o)
	nan := math.NaN()
	groups := []Group{group(0, 1, 2, nan), group(1, 1, 1, 1), group(nan, nan, nan, 3), group(0, 0, 0, 1)}
	advantages, signal := Advantages(groups, GroupStd, 0)
	var stats Stats
	stats.signals(groups, advantages, signal)
	if stats.ZeroSignal != 2 {
		t.Errorf("%d groups without signal, want 2", stats.ZeroSignal)
	}
	trajectories := make([]rollout.Trajectory, 16)
	for i := range trajectories {
		trajectories[i].Request.Sample = uint32(i)
	}
	plan := sde.Plan{Noisy: []bool{true, true, false}, Train: []bool{true, true, false}}
	for keep, want := range map[int][][]string{
		0: {
			{"0@0", "1@0", "2@0", "0@1", "1@1", "2@1"},
			{"12@0", "13@0", "14@0", "15@0", "12@1", "13@1", "14@1", "15@1"},
		},
		2: {
			{"0@0", "2@0", "0@1", "2@1"},
			{"14@0", "15@0", "14@1", "15@1"},
		},
	} {
		tr.Keep = keep
		var got [][]string
		for i, records := range tr.slices(&experience{plan: plan, trajectories: trajectories, groups: groups, advantages: advantages, signal: signal}) {
			var pass []string
			sum := 0.0
			for _, r := range records {
				pass = append(pass, fmt.Sprintf("%d@%d", r.trajectory.Request.Sample, r.step))
				sum += r.advantage
			}
			got = append(got, pass)
			const rounding = 1e-12
			if math.Abs(sum) > rounding {
				t.Errorf("keep %d: the advantages of pass %d sum to %g, want 0", keep, i, sum)
			}
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("keep %d: records (sample@step) of the passes:\n%s", keep, d)
		}
	}
}

// What would fail later, or quietly, fails at once.
func TestMisusePanics(t *testing.T) {
	t.Parallel()
	o := fullRun()
	o.workers, o.batch = 1, 5
	made := newTrainer(o).Settings
	for name, misuse := range map[string]func(s Settings){
		"no NewTrainer":     func(s Settings) { _, _ = (&Trainer{Settings: s}).Iterate(t.Context()) },
		"no passes":         func(s Settings) { s.Passes = 0; NewTrainer(s) },
		"keeps more":        func(s Settings) { s.Keep = s.GroupSize + 1; NewTrainer(s) },
		"keeps one":         func(s Settings) { s.Keep = 1; NewTrainer(s) },
		"no reference":      func(s Settings) { s.Loss.KLCoef, s.Reference = 1, policy.Theta{}; NewTrainer(s) },
		"a nameless share":  func(s Settings) { s.Loss.Shares = []Share{{"", 1}}; NewTrainer(s) },
		"weightless shares": func(s Settings) { s.Loss.Shares = []Share{{"a", 0}}; NewTrainer(s) },
		"loose anchors":     func(s Settings) { s.Loss.AnchorCoef, s.Reference = 1, policy.Theta{}; NewTrainer(s) },
	} {
		func() {
			defer func() {
				if text, _ := recover().(string); !strings.HasPrefix(text, "grpo: ") {
					t.Errorf("%s: panic %q, want one of this package", name, text)
				}
			}()
			misuse(made)
		}()
	}
}
