//go:build gpu

package gpu

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"flowgrpo/internal/cuda"
	"flowgrpo/internal/graph"
	"flowgrpo/internal/rng"
	"flowgrpo/policy"
	"flowgrpo/rollout"
	"flowgrpo/sde"
)

// A marker is a queue that marks the beginning and the end of every step of a rollout.
type marker struct {
	*Queue
	marks []*cuda.Event // in pairs
	used  int
}

func (q *marker) Compile(w graph.Wanted) (graph.Executable, error) {
	x, err := q.Queue.Compile(w)
	p, _ := x.(*Program)
	return marked{p, q}, err
}

func (q *marker) Enter() func()       { return q.device.Enter() }
func (q *marker) Lost(err error) bool { return q.device.Lost(err) }

// mark puts the next mark on the stream.
func (q *marker) mark() error {
	if q.used == len(q.marks) {
		e, err := q.device.ctx.NewEvent()
		if err != nil {
			return err
		}
		q.marks = append(q.marks, e)
	}
	q.used++
	return q.stream.Record(q.marks[q.used-1])
}

type marked struct {
	*Program
	on *marker
}

// Walk is the program's, with marks.
func (p marked) Walk(ctx context.Context, w graph.Walk) error {
	on, err := p.newWalk(w)
	if err != nil {
		return err
	}
	return on.run(ctx, func(k int) error { return errors.Join(p.on.mark(), on.begin(k), p.on.mark()) })
}

// BenchmarkBusy times rollouts as those of the recipe glyphs, but for the reward: 64 groups of
// 24 in chunks of 32, 10 steps, of which the fixed window's are noisy and a group is in one
// state for two. %-busy is the share of a rollout's time in which the device is at a step of at
// least one queue.
func BenchmarkBusy(b *testing.B) {
	for _, precision := range []Precision{Strict, BFloat16} {
		for queues := 1; queues <= 4; queues++ {
			b.Run(fmt.Sprintf("%v/queues=%d", precision, queues), func(b *testing.B) {
				once(b, func() { benchBusy(b, precision, queues) })
			})
		}
	}
}

func benchBusy(b *testing.B, precision Precision, count int) {
	const batch, rollouts = 32, 7
	m := glyphs(b)
	var queues []*marker
	var devices []rollout.Device
	for i := range count {
		q := &marker{Queue: testQueue(b, precision)}
		q.slice = batch
		queues = append(queues, q)
		devices = append(devices, rollout.NewAccelerator(fmt.Sprint("gpu:0/", i), q, m, m.Theta(), batch))
	}
	pool := rollout.NewPool(devices, batch, m.Network.Shape().Dim())
	how, noise, requests := glyphsRollout(m)
	draw := func() (took, busy time.Duration) {
		for _, q := range queues {
			q.used = 0
		}
		check(b, queues[0].mark()) // what the others are timed by
		check(b, queues[0].stream.Synchronize())
		begin := time.Now()
		_, err := pool.Sample(b.Context(), how, noise, requests)
		check(b, err)
		took = time.Since(begin)
		return took, busyTime(b, queues)
	}
	draw() // compiles, uploads
	var times, shares []float64
	for range rollouts {
		took, busy := draw()
		times, shares = append(times, took.Seconds()*1e3), append(shares, 100*busy.Seconds()/took.Seconds())
	}
	slices.Sort(times)
	slices.Sort(shares)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(times[rollouts/2], "ms/rollout")
	b.ReportMetric(shares[rollouts/2], "%-busy")
}

// busyTime returns for how long the device was at one of the marked steps or more.
func busyTime(b *testing.B, queues []*marker) time.Duration {
	type span struct{ from, to time.Duration }
	var spans []span
	for _, q := range queues {
		for i := q.used % 2; i < q.used; i += 2 { // the first of all has no pair
			from, err := q.marks[i].Since(queues[0].marks[0])
			check(b, err)
			to, err := q.marks[i+1].Since(queues[0].marks[0])
			check(b, err)
			spans = append(spans, span{from, to})
		}
	}
	slices.SortFunc(spans, func(x, y span) int { return cmp.Compare(x.from, y.from) })
	busy, end := time.Duration(0), spans[0].from
	for _, s := range spans {
		busy += max(0, s.to-max(s.from, end))
		end = max(end, s.to)
	}
	return busy
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
