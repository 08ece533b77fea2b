package grpo

import (
	"context"
	"math"
	"math/bits"
	"slices"

	"flowgrpo/internal/graph"
	"flowgrpo/policy"
	"flowgrpo/rollout"
	"flowgrpo/sde"
)

// A record is one step of one trajectory, a trained one or an anchor.
type record struct {
	trajectory *rollout.Trajectory
	step       int
	advantage  float64
	anchor     bool
}

// batch holds the inputs of the objective for the records of a micro-batch.
type batch struct {
	policy.Batch
	next, reference, old []float32
	step, terms          []float64
	weight, beta         []float64
}

// counts are the numbers of records that the parts of the loss average over.
type counts struct{ trained, anchors int }

func count(records []record) (n counts) {
	for _, r := range records {
		if r.anchor {
			n.anchors++
		} else {
			n.trained++
		}
	}
	return n
}

// batch lays out records.
func (tr *Trainer) batch(records []record, transitions []sde.Transition, weights []float64, total counts) *batch {
	n, dim := tr.rows(len(records)), tr.Model.Network.Shape().Dim()
	b := &batch{
		Batch: policy.Batch{X: make([]float32, 0, n*dim), T: make([]float32, n)},
		next:  make([]float32, 0, n*dim), reference: make([]float32, n*dim),
	}
	for i := range n {
		r := records[min(i, len(records)-1)]
		k, traj := r.step, r.trajectory
		t, _ := tr.Sampling.Schedule.Step(k)
		b.T[i] = float32(t)
		b.X = append(b.X, traj.States[k]...)
		b.next = append(b.next, traj.States[k+1]...)
		b.Cond = append(b.Cond, traj.Request.Condition)
		switch {
		case i >= len(records): // filling: an anchor that costs nothing
			b.anchor(traj.States[k], 0, tr.Loss)
			continue
		case r.anchor:
			b.anchor(traj.States[k], tr.anchorPenalty()/float64(total.anchors), tr.Loss)
			continue
		}
		step := transitions[k]
		b.old = append(b.old, traj.Velocities[k]...)
		b.step = append(b.step, step.X, step.V, step.Std)
		b.terms = append(b.terms, traj.Logp[k], tr.Loss.Ratio.Scale(step, dim), r.advantage, tr.Loss.ClipRange)
		b.weight = append(b.weight, weights[k]/float64(total.trained))
		b.beta = append(b.beta, tr.penalty(step, k)/float64(total.trained))
	}
	b.Bind = b.bind
	return b
}

// rows returns the number of rows of a micro-batch of n records: the last one is filled up
// to a power of two, so that few programs serve all sizes.
func (tr *Trainer) rows(n int) int { return min(tr.MicroBatch, 1<<bits.Len(uint(n-1))) }

// anchor appends what is an anchor's own: the scale 0 makes the ratio 1, whatever the
// rest of its terms and the sampling velocity, which only has to be finite.
func (b *batch) anchor(x []float32, beta float64, loss Loss) {
	if loss.Ratio.Corrected() {
		b.old = append(b.old, x...)
	}
	b.step = append(b.step, unit.X, unit.V, unit.Std)
	b.terms = append(b.terms, 0, 0, 0, loss.ClipRange)
	b.weight = append(b.weight, 0)
	b.beta = append(b.beta, beta)
}

func (b *batch) bind(p graph.Binder) {
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
	KL        float64 // to the reference, nats, summed over coordinates; of an anchor ½‖v - v_ref‖²
	Clipped   int     // -1 or +1 where the ratio left the clip range and has no gradient, by side
}

// gradient stores in tr.grad the gradient of the loss over records, of which some may be
// anchors, and returns their terms, in order.
func (tr *Trainer) gradient(ctx context.Context, records []record, transitions []sde.Transition) ([]Term, error) {
	weights := stepWeights(tr.Loss.Weight, transitions, tr.Sampling.Schedule)
	obj, refers, total := tr.Loss.Objective(), tr.Loss.Refers(), count(records)
	terms := make([]Term, len(records))
	chunks := slices.Collect(slices.Chunk(records, tr.MicroBatch))
	err := tr.team.Gradient(ctx, tr.grad, len(chunks), func(r *policy.Replica, sum *policy.Sum, i int) error {
		b := tr.batch(chunks[i], transitions, weights, total)
		if refers {
			if err := tr.refer(r, b); err != nil {
				return err
			}
		}
		out, err := r.AddGradient(sum, obj, b.Batch)
		if err != nil {
			return err
		}
		describe(terms[i*tr.MicroBatch:], chunks[i], weights, out, refers, tr.Loss.ClipRange)
		return nil
	})
	return terms, err
}

// refer fills in the reference velocities of b, on the device of r.
func (tr *Trainer) refer(r *policy.Replica, b *batch) error {
	tr.mu.Lock()
	reference, ok := tr.references[r]
	if !ok {
		reference = r.Beside(tr.Reference)
		tr.references[r] = reference
	}
	tr.mu.Unlock()
	return reference.VelocityAt(b.reference, b.X, b.T, b.Cond)
}

// describe fills terms with what the program put out for records.
func describe(terms []Term, records []record, weights []float64, out []graph.Buffer, kl bool, clip float64) {
	for i, r := range records {
		t := Term{Step: r.step}
		if kl {
			t.KL = out[outKL].F64[i]
		}
		if r.anchor {
			terms[i] = t
			continue
		}
		t.Weight = weights[r.step]
		t.DeltaLogp = out[outLogp].F64[i] - r.trajectory.Logp[r.step]
		t.LogRatio = out[outLogRatio].F64[i]
		t.Surrogate = out[outSurrogate].F64[i]
		if _, d := Surrogate(t.LogRatio, r.advantage, clip); d == 0 && r.advantage != 0 {
			t.Clipped = int(math.Copysign(1, t.LogRatio))
		}
		terms[i] = t
	}
}
