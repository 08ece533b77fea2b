//go:build gpu

package gpu

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"flowgrpo/internal/graph"
	"flowgrpo/internal/rng"
	"flowgrpo/policy"
	"flowgrpo/rollout"
	"flowgrpo/sde"
)

// A walker is a queue that counts the steps of every program.
type walker struct {
	*Queue
	programs []*walked
}

type walked struct {
	*Program
	steps atomic.Int64
}

func (q *walker) Compile(w graph.Wanted) (graph.Executable, error) {
	x, err := q.Queue.Compile(w)
	if err != nil {
		return nil, err
	}
	p := &walked{Program: x.(*Program)}
	q.programs = append(q.programs, p)
	return p, nil
}

func (q *walker) Enter() func()       { return q.device.Enter() }
func (q *walker) Lost(err error) bool { return q.device.Lost(err) }

func (p *walked) Walk(ctx context.Context, w graph.Walk) error {
	p.steps.Add(int64(len(w.Steps)))
	return p.Program.Walk(ctx, w)
}

// BenchmarkBusy times rollouts as those of the recipe glyphs, but for the reward: 64 groups of
// 24 in chunks of 32, 10 steps, of which the fixed window's are noisy and a group is in one
// state for two. %-busy is the time that the device works at the steps, each program's replayed
// on its own, as a share of the time that the rollout takes. Over 100 several queues work at once.
func BenchmarkBusy(b *testing.B) {
	for _, precision := range []Precision{Strict, BFloat16} {
		for queues := 1; queues <= 4; queues++ {
			b.Run(fmt.Sprintf("%v/queues=%d", precision, queues), func(b *testing.B) {
				once(b, func() { benchBusy(b, precision, queues) })
			})
		}
	}
}

const busyBatch = 32

func benchBusy(b *testing.B, precision Precision, count int) {
	m := glyphs(b)
	var queues []*walker
	var devices []rollout.Device
	for i := range count {
		q := &walker{Queue: testQueue(b, precision)}
		q.slice = busyBatch
		queues = append(queues, q)
		devices = append(devices, rollout.NewAccelerator(fmt.Sprint("gpu:0/", i), q, m, m.Theta(), busyBatch))
	}
	pool := rollout.NewPool(devices, busyBatch, m.Network.Shape().Dim())
	how, noise, requests := glyphsRollout(m)
	draw := func() time.Duration {
		begin := time.Now()
		_, err := pool.Sample(b.Context(), how, noise, requests)
		check(b, err)
		return time.Since(begin)
	}
	draw() // compiles, uploads
	var took []time.Duration
	for range 7 {
		for _, q := range queues {
			for _, p := range q.programs {
				p.steps.Store(0)
			}
		}
		took = append(took, draw())
	}
	var busy time.Duration // of the last rollout
	steps := int64(0)
	for _, q := range queues {
		for _, p := range q.programs {
			steps += p.steps.Load()
			busy += time.Duration(p.steps.Load()) * p.stepTime(b)
		}
	}
	last := took[len(took)-1]
	slices.Sort(took)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(took[len(took)/2].Seconds()*1e3, "ms/rollout")
	b.ReportMetric(busy.Seconds()/float64(steps)*1e6, "µs/step")
	b.ReportMetric(100*busy.Seconds()/last.Seconds(), "%-busy")
}

// stepTime returns how long a step of p, which has made some, takes the device.
func (p *walked) stepTime(b *testing.B) time.Duration {
	defer p.queue.device.Enter()()
	dim := p.inputs["x"].place.Shape.TotalSize() / p.inputs["t"].place.Shape.TotalSize()
	one := graph.Step{Std: 1, Keys: make([]rng.Key, busyBatch), Next: make([]float32, busyBatch*dim), Logp: make([]float64, busyBatch)}
	on, err := p.newWalk(graph.Walk{State: "x", Time: "t", Rows: make([]int, busyBatch), Steps: []graph.Step{one}})
	check(b, err)
	g := recorded(b, p.queue, func() error { return p.queue.launch(append(slices.Clone(p.launches), on.launches()...)...) })
	defer g.Close()
	return medianOf(b, p.queue, g, replays)
}

// glyphsRollout returns what the recipe glyphs draws in an iteration.
func glyphsRollout(m *policy.Model) (rollout.Process, rollout.Noise, []rollout.Request) {
	const groups, size, steps = 64, 24, 10
	s := m.Network.Shape()
	how := rollout.Process{Schedule: sde.Uniform(steps), SharedNoise: true} // as the model folder has it
	how.Plan = sde.Fixed{Steps: []int{1, 2, 3, 4}}.Plan(steps, nil)
	_, second := how.Schedule.Step(0)
	how.Dynamics = sde.FlowSDE{NoiseLevel: 0.7, TMax: second}
	var requests []rollout.Request
	for g := range groups {
		cond := policy.Condition{Hidden: byName(fmt.Sprint("input.hidden", g), s.Tokens*s.Joint), Pooled: byName(fmt.Sprint("input.pooled", g), s.Pooled)}
		for i := range size {
			requests = append(requests, rollout.Request{Prompt: uint32(g), Sample: uint32(i), Condition: cond})
		}
	}
	return how, rollout.Noise{Seed: 1, Initial: rng.InitNoise, Step: rng.StepNoise}, requests
}
