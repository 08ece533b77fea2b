package grpo

import (
	"context"
	"math"
	"slices"

	"flowgrpo/internal/graph"
	"flowgrpo/policy"
	"flowgrpo/rollout"
	"flowgrpo/sde"
)

// A record is one trained step of one trajectory.
type record struct {
	trajectory *rollout.Trajectory
	step       int
	advantage  float64
}

// batch holds the inputs of the objective for the records of a micro-batch.
type batch struct {
	policy.Batch
	next, reference, old []float32
	step, terms          []float64
	weight, beta         []float64
}

// batch lays out records; total is the number of records that the loss averages
// over.
func (tr *Trainer) batch(records []record, transitions []sde.Transition, weights []float64, total int) *batch {
	n, dim := len(records), tr.Model.Network.Shape().Dim()
	b := &batch{
		Batch: policy.Batch{X: make([]float32, 0, n*dim), T: make([]float32, n)},
		next:  make([]float32, 0, n*dim), reference: make([]float32, n*dim),
	}
	for i, r := range records {
		k, traj := r.step, r.trajectory
		t, _ := tr.Sampling.Schedule.Step(k)
		step := transitions[k]
		b.T[i] = float32(t)
		b.X = append(b.X, traj.States[k]...)
		b.next = append(b.next, traj.States[k+1]...)
		b.old = append(b.old, traj.Velocities[k]...)
		b.Cond = append(b.Cond, traj.Request.Condition)
		b.step = append(b.step, step.X, step.V, step.Std)
		b.terms = append(b.terms, traj.Logp[k], tr.Loss.Ratio.Scale(step, dim), r.advantage, tr.Loss.ClipRange)
		b.weight = append(b.weight, weights[k]/float64(total))
		b.beta = append(b.beta, tr.penalty(step, k)/float64(total))
	}
	b.Bind = b.bind
	return b
}

func (b *batch) bind(p *graph.Program) {
	p.Bind("grpo.x", b.X)
	p.Bind("grpo.next", b.next)
	p.Bind("grpo.reference", b.reference)
	if b.old != nil {
		p.Bind("grpo.old", b.old)
	}
	p.Bind64("grpo.step", b.step)
	p.Bind64("grpo.terms", b.terms)
	p.Bind64("grpo.weight", b.weight)
	p.Bind64("grpo.beta", b.beta)
}

// A Term describes the loss of one record.
type Term struct {
	Step      int
	Weight    float64 // of the step, mean 1
	DeltaLogp float64 // log-probability now minus at the rollout, nats
	LogRatio  float64
	Surrogate float64
	KL        float64 // to the reference, nats, summed over coordinates
	Clipped   int     // -1 or +1 where the ratio left the clip range and has no gradient, by side
}

// gradient stores in tr.grad the gradient of the loss over records and returns
// its terms, in order.
func (tr *Trainer) gradient(ctx context.Context, records []record, transitions []sde.Transition) ([]Term, error) {
	weights := stepWeights(tr.Loss.Weight, transitions, tr.Sampling.Schedule)
	obj := objective{corrected: tr.Loss.Ratio.Corrected(), kl: tr.Loss.KLCoef > 0}
	terms := make([]Term, len(records))
	chunks := slices.Collect(slices.Chunk(records, tr.MicroBatch))
	err := tr.team.Gradient(ctx, tr.grad, len(chunks), func(r *policy.Replica, partial []float32, i int) error {
		b := tr.batch(chunks[i], transitions, weights, len(records))
		if obj.kl {
			if err := tr.refer(b); err != nil {
				return err
			}
		}
		out, err := r.Gradient(partial, obj, b.Batch)
		if err != nil {
			return err
		}
		describe(terms[i*tr.MicroBatch:], chunks[i], weights, out, obj.kl, tr.Loss.ClipRange)
		return nil
	})
	return terms, err
}

// refer fills in the reference velocities of b.
func (tr *Trainer) refer(b *batch) error {
	r := <-tr.references
	defer func() { tr.references <- r }()
	return r.VelocityAt(b.reference, b.X, b.T, b.Cond)
}

// describe fills terms with what the program put out for records.
func describe(terms []Term, records []record, weights []float64, out []graph.Buffer, kl bool, clip float64) {
	for i, r := range records {
		t := Term{
			Step:      r.step,
			Weight:    weights[r.step],
			DeltaLogp: out[outLogp].F64[i] - r.trajectory.Logp[r.step],
			LogRatio:  out[outLogRatio].F64[i],
			Surrogate: out[outSurrogate].F64[i],
		}
		if kl {
			t.KL = out[outKL].F64[i]
		}
		if _, d := Surrogate(t.LogRatio, r.advantage, clip); d == 0 && r.advantage != 0 {
			t.Clipped = int(math.Copysign(1, t.LogRatio))
		}
		terms[i] = t
	}
}
