//go:build gpu

package gpu

import (
	"context"
	"fmt"
	"strings"
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
// trained; of one group, and of all 8 (bench.py --groups 8).
func BenchmarkIteration(b *testing.B) {
	const rolloutBatch, microBatch = 8, 8
	var queues []*Queue
	var tr *grpo.Trainer
	for _, groups := range []int{1, 8} {
		b.Run(fmt.Sprint("groups=", groups), func(b *testing.B) {
			once(b, func() {
				if tr == nil {
					queues = []*Queue{benchQueue(b, rolloutBatch).Queue, benchQueue(b, rolloutBatch).Queue}
					tr = peerTrainer(mediumModel(true), queues, 10, 24, rolloutBatch, microBatch)
					_, err := tr.Iterate(context.Background()) // compiles, uploads
					check(b, err)
				}
				tr.Groups = groups
				begin := time.Now()
				stats, err := tr.Iterate(context.Background())
				check(b, err)
				b.ReportMetric(0, "ns/op")
				b.ReportMetric(time.Since(begin).Seconds(), "s")
				b.ReportMetric(stats.Seconds.Rollout, "rollout-s")
				b.ReportMetric(stats.Seconds.Update, "update-s")
				b.ReportMetric(stats.FirstPass, "first-pass-drift")
				b.ReportMetric(float64(used(b, queues[0].device))/(1<<30), "GiB")
			})
		})
	}
}

// used returns the memory of the device that is in use, by anybody.
func used(t testing.TB, d *Device) int64 {
	t.Helper()
	free, total, err := d.Memory()
	check(t, err)
	return total - free
}

// Iteration after iteration a device needs no more memory. On a real one the test takes 200.
func TestMemoryIsSteady(t *testing.T) {
	iterations := 2
	q := testQueue(t, BFloat16)
	if !strings.Contains(q.device.Info().Name, "fake") {
		iterations = 200
	}
	tr := peerTrainer(smallMMDiT(t), []*Queue{q}, 2, 2, 2, 2)
	iterate := func() {
		_, err := tr.Iterate(t.Context())
		check(t, err)
	}
	iterate()
	before := used(t, q.device)
	for range iterations {
		iterate()
	}
	if after := used(t, q.device); after != before {
		t.Errorf("%d bytes of memory in use, %d after %d iterations more", before, after, iterations)
	}
}

// peerTrainer returns a trainer of m with eight prompts, a group of one in an iteration, that samples
// on all queues and updates on the first.
func peerTrainer(m *policy.Model, queues []*Queue, steps, groupSize, rolloutBatch, microBatch int) *grpo.Trainer {
	s := m.Network.Shape()
	var on []rollout.Device
	for i, q := range queues {
		on = append(on, rollout.NewAccelerator(fmt.Sprint("gpu:0/", i), onQueue{q}, m, m.Theta(), rolloutBatch))
	}
	times := sde.SD3(steps, 3)
	_, second := times.Step(0)
	theta := m.Theta()
	encode := func(text string) policy.Condition {
		return policy.Condition{Hidden: byName("input.hidden"+text, s.Tokens*s.Joint), Pooled: byName("input.pooled"+text, s.Pooled)}
	}
	var prompts []task.Prompt
	for i := range 8 {
		prompts = append(prompts, task.Prompt{ID: uint32(i), Text: fmt.Sprint(i)})
	}
	return grpo.NewTrainer(grpo.Settings{
		Model: m, Reference: policy.Theta{Base: m.Weights}, EMA: policy.NewEMA(theta, 0.9), Reward: noReward{},
		Loss: grpo.Loss{Ratio: grpo.Mean{}, Weight: grpo.Unweighted{}, ClipRange: 1e-4, KLCoef: 0.04, KL: grpo.ExactKL{}, Spread: grpo.GlobalStd},
		Sampling: grpo.Sampling{
			Schedule: times, Dynamics: sde.FlowSDE{NoiseLevel: 0.7, TMax: second}, Window: sde.AllButLast{},
		},
		Prompts: grpo.NewPrompts(1, prompts, encode),
		Seed:    1, Groups: 1, GroupSize: groupSize, Passes: 1, MicroBatch: microBatch, Workers: 16,
		Backends: []graph.Backend{queues[0]},
		Adam:     optim.NewAdamW(theta.Size(), optim.Settings{LR: 3e-4, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 1e-4, ClipNorm: 1, Schedule: optim.Constant{}}),
		Rollout:  rollout.NewPool(on, rolloutBatch, s.Dim()),
	})
}
