//go:build gpu

package gpu

import (
	"context"
	"fmt"
	"testing"
	"time"

	"flowgrpo/grpo"
	"flowgrpo/internal/graph"
	"flowgrpo/internal/optim"
	"flowgrpo/policy"
	"flowgrpo/reward"
	"flowgrpo/rollout"
	"flowgrpo/sde"
	"flowgrpo/task"
)

// noReward scores a picture by its first number: it costs nothing.
type noReward struct{}

func (noReward) Name() string { return "none" }

func (noReward) Score(_ context.Context, batch []reward.Sample) ([]reward.Result, error) {
	results := make([]reward.Result, len(batch))
	for i, s := range batch {
		results[i].Score = float64(s.Image.Pix[0])
	}
	return results, nil
}

// onQueue is a queue as rollout's devices use it.
type onQueue struct{ *Queue }

func (q onQueue) Enter() func()       { return q.device.Enter() }
func (q onQueue) Lost(err error) bool { return q.device.Lost(err) }

// BenchmarkIteration times an iteration of released Flow-GRPO on the network of Stable
// Diffusion 3.5 Medium: 10 steps, guidance 4.5, groups of 24, every step but the last
// trained; one group here, which bench.py scales likewise to 8.
func BenchmarkIteration(b *testing.B) {
	const rolloutBatch, microBatch = 8, 8
	once(b, func() {
		m := mediumModel(true)
		tr := peerTrainer(b, m, rolloutBatch, microBatch)
		if _, err := tr.Iterate(context.Background()); err != nil { // compiles, uploads
			b.Fatal(err)
		}
		begin := time.Now()
		stats, err := tr.Iterate(context.Background())
		check(b, err)
		b.ReportMetric(0, "ns/op")
		b.ReportMetric(time.Since(begin).Seconds(), "s")
		b.ReportMetric(stats.Seconds.Rollout, "rollout-s")
		b.ReportMetric(stats.Seconds.Update, "update-s")
		b.ReportMetric(stats.FirstPass, "first-pass-drift")
		free, total, err := medium16().Memory()
		check(b, err)
		b.ReportMetric(float64(total-free)/(1<<30), "GiB")
	})
}

// medium16 is the device of the benchmarks.
func medium16() *Device {
	d, _ := devices[BFloat16]()
	return d
}

// peerTrainer returns a trainer of m on one GPU.
func peerTrainer(b *testing.B, m *policy.Model, rolloutBatch, microBatch int) *grpo.Trainer {
	b.Helper()
	s := m.Network.Shape()
	queues := []*Queue{benchQueue(b, rolloutBatch).Queue, benchQueue(b, rolloutBatch).Queue}
	var on []rollout.Device
	for i, q := range queues {
		on = append(on, rollout.NewAccelerator(fmt.Sprint("gpu:0/", i), onQueue{q}, m, m.Theta(), rolloutBatch))
	}
	times := sde.SD3(10, 3)
	_, second := times.Step(0)
	theta := m.Theta()
	encode := func(text string) policy.Condition {
		return policy.Condition{Hidden: byName("input.hidden"+text, s.Tokens*s.Joint), Pooled: byName("input.pooled"+text, s.Pooled)}
	}
	return grpo.NewTrainer(grpo.Settings{
		Model: m, Reference: policy.Theta{Base: m.Weights}, EMA: policy.NewEMA(theta, 0.9), Reward: noReward{},
		Loss: grpo.Loss{Ratio: grpo.Mean{}, Weight: grpo.Unweighted{}, ClipRange: 1e-4, KLCoef: 0.04, KL: grpo.ExactKL{}, Spread: grpo.GlobalStd},
		Sampling: grpo.Sampling{
			Schedule: times, Dynamics: sde.FlowSDE{NoiseLevel: 0.7, TMax: second}, Window: sde.AllButLast{},
		},
		Prompts: grpo.NewPrompts(1, []task.Prompt{{Text: "a"}}, encode),
		Seed:    1, Groups: 1, GroupSize: 24, Passes: 1, MicroBatch: microBatch, Workers: 16,
		Backends: []graph.Backend{queues[0]},
		Adam:     optim.NewAdamW(theta.Size(), optim.Settings{LR: 3e-4, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 1e-4, ClipNorm: 1, Schedule: optim.Constant{}}),
		Rollout:  rollout.NewPool(on, rolloutBatch, s.Dim()),
	})
}
