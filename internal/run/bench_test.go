package run

import (
	"context"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sourcegraph/conc/pool"

	"flowgrpo/grpo"
	"flowgrpo/internal/config"
	"flowgrpo/internal/graph"
	"flowgrpo/policy"
	"flowgrpo/reward"
)

// The benchmarks below run on all cores: the embedded glyphs model or, if FLOWGRPO_BENCH_MODEL
// names one, a model folder for the world glyphs, with the products that FLOWGRPO_BENCH_PRODUCTS
// names. contrib/peer runs the same with PyTorch, by their names and units.

// benchSession opens the recipe that contrib/peer/torch_side.py spells out: released
// Flow-GRPO, every sample of 8 groups of 12 trains 9 steps of 10, one update.
func benchSession(b *testing.B, sets ...string) *Session {
	b.Helper()
	sets = append([]string{
		"rollout.groups=8", "rollout.group_size=12", "rollout.batch=48", "rollout.window=all",
		"rollout.window_steps=[]", "rollout.shared_noise=false", "grpo.passes=1", "grpo.keep=0",
		"grpo.anchor_coef=0", "grpo.micro_batch=16", "reward.text.kind=brightness",
	}, sets...)
	if folder := os.Getenv("FLOWGRPO_BENCH_MODEL"); folder != "" {
		sets = append(sets, "model.path="+folder)
	}
	if products := os.Getenv("FLOWGRPO_BENCH_PRODUCTS"); products != "" {
		sets = append(sets, "device.products="+products)
	}
	c, err := config.Load("glyphs", sets)
	if err != nil {
		b.Fatal(err)
	}
	s, err := Open(c)
	if err != nil {
		b.Fatal(err)
	}
	return s
}

// benchBatch returns a batch of n pictures with times and conditions.
func benchBatch(s *Session, n int) policy.Batch {
	x := make([]float32, n*s.Model.Network.Shape().Dim())
	for i := range x {
		x[i] = float32(i%101)/50 - 1
	}
	batch := policy.Batch{X: x, T: make([]float32, n)}
	for i := range n {
		batch.T[i] = float32(i+1) / float32(n+1)
		batch.Cond = append(batch.Cond, s.condition(s.Problem.Train[i].Text))
	}
	return batch
}

// BenchmarkVelocity samples one velocity of 48 pictures per core.
func BenchmarkVelocity(b *testing.B) {
	const batch = 48
	s := benchSession(b)
	in, dim := benchBatch(s, batch), s.Model.Network.Shape().Dim()
	workers := runtime.GOMAXPROCS(0)
	replicas, dst := make([]*policy.Replica, workers), make([][]float32, workers)
	for i := range replicas {
		replicas[i], dst[i] = s.Model.NewReplica(s.base), make([]float32, batch*dim)
	}
	timed(b, workers*batch, func() (float64, error) {
		p := pool.New().WithErrors()
		for i, r := range replicas {
			p.Go(func() error {
				return r.VelocityAt(dst[i], in.X, in.T, in.Cond)
			})
		}
		return 0, p.Wait()
	})
}

// BenchmarkGradient takes the gradient of all weights over 64 pictures, in micro-batches of 16.
func BenchmarkGradient(b *testing.B) {
	const micro, n = 16, 4
	s := benchSession(b)
	in := benchBatch(s, micro)
	in.Bind = func(p graph.Binder) { p.Bind("target", in.X) }
	theta := policy.Theta{Base: s.Model.Weights}
	team, grad := s.Model.NewTeam(theta, s.workers), make([]float32, theta.Size())
	timed(b, micro*n, func() (float64, error) {
		return 0, team.Gradient(context.Background(), grad, n, func(r *policy.Replica, sum *policy.Sum, _ int) error {
			_, err := r.AddGradient(sum, policy.FlowMatching{}, in)
			return err
		})
	})
}

// BenchmarkIteration is one iteration of GRPO but for the reward: rollout, advantages, update.
func BenchmarkIteration(b *testing.B) {
	s := benchSession(b)
	tr, err := s.trainer()
	if err != nil {
		b.Fatal(err)
	}
	timed(b, s.Config.Rollout.Groups*s.Config.Rollout.GroupSize, func() (float64, error) {
		stats, err := tr.Iterate(context.Background())
		return stats.Seconds.Reward, err
	})
}

// BenchmarkSleepingReward is an iteration with a reward that sleeps half as long as the
// rollout takes, all groups together and one at a time, as a service does that has one GPU.
// It reports medians, in per cent of an iteration whose reward answers at once: by how much
// it is longer, how long it waits for the reward after the rollout, and how long the reward
// sleeps. The update is short, so that the rollout counts.
func BenchmarkSleepingReward(b *testing.B) {
	s := benchSession(b, "grpo.keep=2", "rollout.groups=16", "rollout.batch=12")
	tr, err := s.trainer()
	if err != nil {
		b.Fatal(err)
	}
	plain := tr.Reward
	iterate := func(r reward.Reward) (seconds float64, t grpo.Timing) {
		tr.Reward = r
		start := time.Now()
		stats, err := tr.Iterate(context.Background())
		if err != nil {
			b.Fatal(err)
		}
		return time.Since(start).Seconds(), stats.Seconds
	}
	iterate(plain) // compiles and allocates
	var quick, slow, waited, slept []float64
	for b.Loop() {
		took, t := iterate(plain)
		sleep := time.Duration(t.Rollout / 2 / float64(tr.Groups) * float64(time.Second))
		quick, slept = append(quick, took), append(slept, t.Rollout/2)
		took, t = iterate(&sleeping{Wrapper: reward.Wrapper{Reward: plain}, d: sleep})
		slow, waited = append(slow, took), append(waited, t.Reward)
	}
	median := func(x []float64) float64 { slices.Sort(x); return x[len(x)/2] }
	b.ReportMetric(100*(median(slow)/median(quick)-1), "%-longer")
	b.ReportMetric(100*median(waited)/median(quick), "%-waited")
	b.ReportMetric(100*median(slept)/median(quick), "%-slept")
}

// sleeping is a reward of which every call takes longer by d, one at a time.
type sleeping struct {
	reward.Wrapper
	d  time.Duration
	mu sync.Mutex
}

func (s *sleeping) Score(ctx context.Context, batch []reward.Sample) ([]reward.Result, error) {
	s.mu.Lock()
	time.Sleep(s.d)
	s.mu.Unlock()
	return s.Wrapper.Score(ctx, batch)
}

// timed reports the time of one of the n pictures of an operation; op returns the seconds
// that do not count. The first call, which compiles and allocates, is not timed.
func timed(b *testing.B, n int, op func() (float64, error)) {
	b.Helper()
	if _, err := op(); err != nil {
		b.Fatal(err)
	}
	var other float64
	for b.Loop() {
		seconds, err := op()
		if err != nil {
			b.Fatal(err)
		}
		other += seconds
	}
	b.ReportMetric((float64(b.Elapsed().Nanoseconds())-1e9*other)/float64(b.N)/float64(n), "ns/picture")
}
