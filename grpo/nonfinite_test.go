package grpo

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"flowgrpo/internal/graph"
	"flowgrpo/internal/kernel"
	"flowgrpo/internal/longtest"
	"flowgrpo/internal/mutants"
	"flowgrpo/policy"
	"flowgrpo/reward"
	"flowgrpo/rollout"
	"flowgrpo/task"
)

// kinds are the numbers that are injected.
var kinds = []float64{math.NaN(), math.Inf(1), math.Inf(-1)}

// positions are where: at the beginning, in the middle and at the end.
const positions = 3

// place returns the index of a position among n.
func place(at, n int) int { return at * (n - 1) / (positions - 1) }

// An injection puts a number that is not finite into a trainer: for good, so that every
// iteration meets it.
type injection struct {
	point  string
	inject func(s *sick, at int, v float64)
	what   string // how the event begins
	prompt bool   // whether the event names prompts
	step   bool   // … and a denoising step
}

// sick is a trainer with places to inject at.
type sick struct {
	*Trainer
	drawn   func(s policy.Step)               // changes the results of a step of the rollout
	learned func(p *graph.Program, sums sums) // changes the results of a gradient program
	judged  func(e *experience)               // changes what an iteration learns from; may be nil
	fed     atomic.Bool                       // the reward was asked for a picture that is not finite
}

type sums map[int][]float32

// newSick returns a trainer that keeps velocities and has a KL penalty.
func newSick() *sick {
	o := fullRun()
	o.loss.Ratio, o.loss.KLCoef, o.workers = Guard{}, 0.1, 2
	o.passes, o.batch = 1, 5
	s := &sick{drawn: func(policy.Step) {}, learned: func(*graph.Program, sums) {}}
	o.reward = wary{&s.fed}
	made := newTrainer(o).Settings
	made.Backends = []graph.Backend{sickBackend{s}, sickBackend{s}}
	var devices []rollout.Device
	for _, d := range rollout.CPUs(o.model, o.model.Theta(), 2) {
		devices = append(devices, sickDevice{d.(*rollout.CPU), s})
	}
	made.Rollout = rollout.NewPool(devices, 5, o.model.Network.Shape().Dim())
	s.Trainer = NewTrainer(made)
	return s
}

// iterate is Iterate, with what it learns from changed on the way.
func (s *sick) iterate(ctx context.Context) (Stats, error) {
	if s.judged == nil {
		return s.Iterate(ctx)
	}
	var stats Stats
	e, err := s.draw(ctx, &stats)
	if err != nil {
		return stats, err
	}
	s.judged(e)
	err = s.learn(ctx, e, &stats)
	return stats, err
}

// wary is level, and notes if a picture is not finite.
type wary struct{ fed *atomic.Bool }

func (wary) Name() string { return "wary" }

func (w wary) Score(ctx context.Context, batch []reward.Sample) ([]reward.Result, error) {
	for _, s := range batch {
		if !kernel.AllFinite(s.Image.Pix) {
			w.fed.Store(true)
		}
	}
	return level{}.Score(ctx, batch)
}

type sickDevice struct {
	*rollout.CPU
	of *sick
}

func (d sickDevice) Walk(ctx context.Context, w policy.Walk) error {
	v := make([]float32, len(w.Steps[0].X))
	for _, s := range w.Steps {
		if err := d.Velocity(ctx, v, s.X, s.T, w.Cond); err != nil {
			return err
		}
		s.Finish(v)
		d.of.drawn(s)
	}
	return nil
}

type sickBackend struct{ of *sick }

func (sickBackend) Slice() int { return 4 }

func (b sickBackend) Compile(w graph.Wanted) (graph.Executable, error) {
	p, err := w.Compile()
	return sickProgram{p, b.of, sums{}}, err
}

type sickProgram struct {
	*graph.Program
	of   *sick
	sums sums
}

func (p sickProgram) BindWeight(w graph.Weight) error {
	p.Bind(w.Name, w.Data)
	return nil
}

func (p sickProgram) BindSum(i int, data []float32) {
	p.sums[i] = data
	p.Program.BindSum(i, data)
}

func (p sickProgram) Run(add bool) error {
	p.RunSums(add)
	if len(p.sums) > 0 {
		p.of.learned(p.Program, p.sums)
	}
	return nil
}

// inStep injects into one sample at one step of every rollout.
func inStep(set func(s policy.Step, row, k int, v float64)) func(*sick, int, float64) {
	return func(s *sick, at int, v float64) {
		step := place(at, s.Sampling.Schedule.Steps()-1)
		s.drawn = func(of policy.Step) {
			for row, key := range of.Keys {
				if int(key.Prompt) == place(at, s.Groups) && int(key.Sample) == place(at, s.GroupSize) {
					if k := int(key.Step); k == step || k == s.Sampling.Schedule.Steps()-1 {
						set(of, row, k, v)
					}
				}
			}
		}
	}
}

// inOutput injects into an output of every gradient.
func inOutput(output int) func(*sick, int, float64) {
	return func(s *sick, at int, v float64) {
		s.learned = func(p *graph.Program, _ sums) {
			x := p.Output(output).F64
			x[place(at, len(x))] = v
		}
	}
}

// inValues injects into values that the trainer keeps.
func inValues(of func(*sick) []float32) func(*sick, int, float64) {
	return func(s *sick, at int, v float64) {
		x := of(s)
		x[place(at, len(x))] = float32(v)
	}
}

var injections = []injection{
	{"log-probability of the rollout", inStep(func(s policy.Step, row, k int, v float64) { s.Logp[row] = v }), "log-probability of a rollout", true, true},
	{"state", inStep(func(s policy.Step, row, k int, v float64) {
		if k != lastStep {
			s.Next[row*len(s.Next)/len(s.Keys)] = float32(v)
		}
	}), "state of a rollout", true, true},
	{"picture", inStep(func(s policy.Step, row, k int, v float64) {
		if k == lastStep {
			s.Next[row*len(s.Next)/len(s.Keys)] = float32(v)
		}
	}), "picture of a rollout", true, true},
	{"velocity", inStep(func(s policy.Step, row, k int, v float64) {
		if s.Velocity != nil {
			s.Velocity[row*len(s.Next)/len(s.Keys)] = float32(v)
		}
	}), "velocity of a rollout", true, true},
	{"advantage", func(s *sick, at int, v float64) {
		s.judged = func(e *experience) { e.advantages[place(at, s.Groups)][place(at, s.GroupSize)] = v }
	}, "advantage", true, false},
	{"log-probability of the update", inOutput(outLogp), "log-probability of the update", true, true},
	{"log-ratio", inOutput(outLogRatio), "log-ratio", true, true},
	{"loss", inOutput(outSurrogate), "policy loss", true, true},
	{"KL", inOutput(outKL), "KL divergence", true, true},
	{"gradient", func(s *sick, at int, v float64) {
		s.learned = func(_ *graph.Program, sums sums) { sums[place(at, len(sums))][0] = float32(v) }
	}, `gradient of "`, true, false},
	{"first moment", inValues(func(s *sick) []float32 { return s.Adam.M }), `first moment of "`, false, false},
	{"second moment", inValues(func(s *sick) []float32 { return s.Adam.V }), `second moment of "`, false, false},
	{"moving average", inValues(func(s *sick) []float32 { return s.EMA.Average.Trainable() }), `moving average of "`, false, false},
	{"weight", inValues(func(s *sick) []float32 { return s.Model.Theta().Trainable() }), `value of "`, false, false},
}

// lastStep is the last step of tinySampling.
const lastStep = 4

// A number that is not finite, wherever it comes from, changes not a bit of weights,
// moving average and optimizer; the event names what it is; the third in a row is an
// error.
func TestNonFiniteChangesNothing(t *testing.T) {
	t.Parallel()
	cases := 0
	for _, in := range injections {
		for _, v := range kinds {
			for at := range positions {
				cases++
				s := newSick()
				runTiny(t, s.Trainer, 1) // moments that are not 0
				in.inject(s, at, v)
				before := s.state()
				for i := range maxLeftOut {
					stats, err := s.iterate(t.Context())
					in.check(t, fmt.Sprintf("%s, %g at %d, iteration %d", in.point, v, at, i), i+1, stats, err)
				}
				if s.state() != before || s.fed.Load() {
					t.Errorf("%s, %g at %d: something has changed, or a reward was asked: %t", in.point, v, at, s.fed.Load())
				}
			}
		}
	}
	t.Logf("%d of %d injections left everything as it was", cases, len(injections)*len(kinds)*positions)
}

// state returns a digest of every bit that an update changes.
func (s *sick) state() [sha256.Size]byte {
	var b []byte
	for _, x := range [][]float32{s.Model.Theta().Trainable(), s.EMA.Average.Trainable(), s.Adam.M, s.Adam.V} {
		for _, v := range x {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
		}
	}
	b = binary.LittleEndian.AppendUint64(b, uint64(s.Adam.Updates))
	return sha256.Sum256(binary.LittleEndian.AppendUint64(b, uint64(s.EMA.Updates)))
}

// check checks the n-th event in a row.
func (in injection) check(t *testing.T, when string, n int, stats Stats, err error) {
	t.Helper()
	if len(stats.Updates) == 0 {
		t.Fatalf("%s: no update, error %v", when, err)
	}
	e := stats.Updates[len(stats.Updates)-1].Skipped
	if e == nil {
		t.Fatalf("%s: the update was made", when)
	}
	if !strings.HasPrefix(e.What, in.what) || finite(e.Value) || (len(e.Prompts) > 0) != in.prompt && in.point != "weight" || (e.Step >= 0) != in.step {
		t.Errorf("%s: %+v", when, e)
	}
	for _, p := range e.Prompts {
		if !slices.ContainsFunc(tinyPrompts, func(of task.Prompt) bool { return of.Text == p }) {
			t.Errorf("%s: prompt %q", when, p)
		}
	}
	var stop *NonFiniteError
	if stopped := errors.As(err, &stop); e.InARow != n || stopped != (n == maxLeftOut) || err != nil && !stopped {
		t.Errorf("%s: %d in a row, error %v", when, e.InARow, err)
	} else if stopped && !strings.Contains(err.Error(), "is not finite for the 3rd update in a row") {
		t.Errorf("%s: %v", when, err)
	}
}

// Updates that are left out count as in a row only if none between them was made.
func TestNonFiniteInARow(t *testing.T) {
	t.Parallel()
	s := newSick()
	for i := range 3 {
		injections[0].inject(s, 0, math.NaN())
		for range maxLeftOut - 1 {
			if stats, err := s.Iterate(t.Context()); err != nil || stats.Updates[0].Skipped == nil {
				t.Fatalf("round %d: %+v, %v", i, stats.Updates, err)
			}
		}
		s.drawn = func(policy.Step) {}
		if stats, err := s.Iterate(t.Context()); err != nil || stats.Updates[0].Skipped != nil {
			t.Fatalf("round %d: the update was left out: %v, %v", i, stats.Updates[0].Skipped, err)
		}
	}
}

// A reward that is not finite is a reward that failed: its sample is left out, the event
// names reward, sample and prompt, and the update is the one without that sample, bit for bit.
func TestNonFiniteRewards(t *testing.T) {
	t.Parallel()
	for at := range positions {
		want, _ := sickReward(t, at, func(r *reward.Result) { r.Err = errors.New("no score") })
		for _, v := range kinds {
			for what, set := range map[string]func(*reward.Result){
				"score is":       func(r *reward.Result) { r.Score = v },
				`part "mean" is`: func(r *reward.Result) { r.Parts["mean"] = v },
			} {
				got, stats := sickReward(t, at, set)
				if got != want {
					t.Errorf("%s %g at %d: the update is not that without the sample", what, v, at)
				}
				var f *reward.Failure
				if stats.Failed != 1 || !errors.As(stats.Failure, &f) || f.Reason != reward.BadScore || f.Sample != place(at, 4) ||
					!strings.Contains(f.Error(), fmt.Sprintf("%s %v", what, v)) {
					t.Errorf("%s %g at %d: %d failed, %v", what, v, at, stats.Failed, stats.Failure)
				}
			}
		}
	}
}

// sickReward returns the state after an iteration in which set has changed the result of
// one sample.
func sickReward(t *testing.T, at int, set func(*reward.Result)) ([sha256.Size]byte, Stats) {
	t.Helper()
	s := newSick()
	s.Reward = reward.Checked(changed{at, set})
	stats, err := s.Iterate(t.Context())
	if err != nil || len(stats.Updates) != 1 || stats.Updates[0].Skipped != nil {
		t.Fatalf("the update was not made: %+v, %v", stats, err)
	}
	return s.state(), stats
}

// changed is level with one result changed.
type changed struct {
	at  int
	set func(*reward.Result)
}

func (changed) Name() string { return "level" }

func (c changed) Score(ctx context.Context, batch []reward.Sample) ([]reward.Result, error) {
	results, err := level{}.Score(ctx, batch)
	if batch[0].Group == place(c.at, 4) {
		c.set(&results[place(c.at, len(results))])
	}
	return results, err
}

// Every check is needed: without any one of them a test above fails.
func TestNonFiniteMutants(t *testing.T) {
	longtest.Only(t)
	never := func(file, check string) mutants.Mutant {
		return mutants.Mutant{File: file, Old: check, New: "false && " + check}
	}
	mutants.Killed(t, "^TestNonFinite(ChangesNothing|InARow|Rewards|Update)$", []mutants.Mutant{
		never("nonfinite.go", "!finite(t.Logp[k])"),
		{File: "nonfinite.go", Old: "checkValues(what, state)", New: "checkValues(what, state[:0])"},
		{File: "nonfinite.go", Old: "t.Velocities[k])", New: "nil)"},
		never("nonfinite.go", "!finite(a)"),
		{File: "nonfinite.go", Old: "t.DeltaLogp}", New: "0}"},
		{File: "nonfinite.go", Old: "t.LogRatio}", New: "0}"},
		{File: "nonfinite.go", Old: "t.Surrogate}", New: "0}"},
		{File: "nonfinite.go", Old: "t.KL}", New: "0}"},
		{File: "nonfinite.go", Old: "average.View()[:average.Size()])", New: "nil)"},
		never("nonfinite.go", "tr.leftOut >= maxLeftOut"),
		{File: "trainer.go", Old: "tr.leftOut = 0", New: ""},
		never("trainer.go", "bad != nil && !kernel"),
		never("scoring.go", "slices.ContainsFunc(s.samples"),
		{File: "../internal/optim/optim.go", Old: `finite("gradient", grad)`, New: `finite("gradient", nil)`},
		{File: "../internal/optim/optim.go", Old: `{"first moment", m}, `, New: ""},
		{File: "../internal/optim/optim.go", Old: `{"second moment", v}, `, New: ""},
		never("../reward/check.go", "!(math.Abs(r.Score) <= MaxScore)"),
		never("../reward/check.go", "!(math.Abs(v) <= MaxScore)"),
	})
}
