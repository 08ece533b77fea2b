// Package pretrain trains flow-matching models from scratch: the small base
// models of the two worlds, and anyone's from a folder of pictures.
package pretrain

import (
	"context"
	"errors"
	"fmt"

	"flowgrpo/internal/graph"
	"flowgrpo/internal/kernel"
	"flowgrpo/internal/optim"
	"flowgrpo/internal/portable"
	"flowgrpo/internal/rng"
	"flowgrpo/policy"
	"flowgrpo/task"
)

// Settings configure a training run.
type Settings struct {
	Seed       int64
	Batch      int             // samples per step
	MicroBatch int             // samples per gradient program
	Workers    int             // goroutines; the result does not depend on it
	Backends   []graph.Backend // that compute gradients; none: Workers slots of the processor
	// OnLost, if not nil, is told of each of Backends when it is lost; see [policy.Team].
	OnLost    func(b graph.Backend, err error)
	EMADecay  float64 // of the weights that are evaluated and saved
	TimeMean  float64 // t = sigmoid(N(TimeMean, TimeStd²)), logit-normal
	TimeStd   float64
	Dropout   float64 // fraction of captions replaced by "", for guidance
	Optimizer optim.Settings
}

// A Trainer trains a captioned network by flow matching (Lipman et al.,
// arXiv:2210.02747) with logit-normal times (Esser et al., arXiv:2403.03206, §3.1).
// Every draw is addressed by (seed, step, sample): a run is a pure function of its
// settings.
type Trainer struct {
	Model    *policy.Model // its Network is a *policy.Captioned
	EMA      *policy.EMA
	source   task.Source
	settings Settings
	team     *policy.Team
	adam     *optim.AdamW
	grad     []float32
	step     int
}

// NewTrainer returns a trainer of m on examples of source.
func NewTrainer(m *policy.Model, source task.Source, s Settings) *Trainer {
	theta := m.Theta()
	n := theta.Size()
	tr := &Trainer{
		Model: m, EMA: policy.NewEMA(theta, s.EMADecay), source: source, settings: s,
		team: m.NewTeam(theta, s.Workers), adam: optim.NewAdamW(n, s.Optimizer), grad: make([]float32, n),
	}
	if len(s.Backends) > 0 {
		tr.team = m.NewTeamOn(s.Backends, theta)
	}
	tr.team.OnLost = s.OnLost
	return tr
}

// Stats describe one step.
type Stats struct {
	Step   int
	Loss   float64 // mean squared error of the velocity
	Update optim.Update
}

// Step draws a batch, takes its gradient and updates the weights.
func (tr *Trainer) Step(ctx context.Context) (Stats, error) {
	s := tr.settings
	n := (s.Batch + s.MicroBatch - 1) / s.MicroBatch
	losses := make([]float64, n)
	err := tr.team.Gradient(ctx, tr.grad, n, func(r *policy.Replica, sum *policy.Sum, i int) error {
		lo, hi := i*s.MicroBatch, min((i+1)*s.MicroBatch, s.Batch)
		if hi-lo < s.MicroBatch { // its mean is over fewer samples
			return tr.rest(r, sum, lo, hi, &losses[i])
		}
		out, err := r.AddGradient(sum, policy.FlowMatching{}, tr.draw(lo, hi))
		if err != nil {
			return err
		}
		losses[i] = out[0].F64[0] * float64(hi-lo) / float64(s.Batch)
		return nil
	})
	if err != nil {
		return Stats{}, fmt.Errorf("pretrain: step %d: %w", tr.step, err)
	}
	kernel.Scale(tr.grad, float32(s.MicroBatch)/float32(s.Batch), tr.grad)
	stats := Stats{Step: tr.step}
	for _, l := range losses {
		stats.Loss += l
	}
	theta := tr.Model.Theta()
	stats.Update, err = tr.adam.Step(theta.Trainable(), tr.grad)
	if e, ok := errors.AsType[*optim.NonFiniteError](err); ok {
		return stats, fmt.Errorf("pretrain: step %d: parameter %q: %w", tr.step, theta.Trained().ParameterAt(e.Index).Name, e)
	}
	tr.EMA.Update(theta)
	tr.step++
	return stats, nil
}

// rest adds the gradient of the last, smaller micro-batch, weighed.
func (tr *Trainer) rest(r *policy.Replica, sum *policy.Sum, lo, hi int, loss *float64) error {
	grad := make([]float32, len(tr.grad))
	out, err := r.Gradient(grad, policy.FlowMatching{}, tr.draw(lo, hi))
	if err != nil {
		return err
	}
	sum.Add(float32(hi-lo)/float32(tr.settings.MicroBatch), grad)
	*loss = out[0].F64[0] * float64(hi-lo) / float64(tr.settings.Batch)
	return nil
}

// draw makes samples [lo, hi) of the current step.
func (tr *Trainer) draw(lo, hi int) policy.Batch {
	shape := tr.Model.Network.Shape()
	text := tr.Model.Network.(*policy.Captioned).Text
	n, dim := hi-lo, shape.Dim()
	b := policy.Batch{X: make([]float32, n*dim), T: make([]float32, n)}
	target := make([]float32, n*dim)
	img := task.NewImage(shape.Channels, shape.Height, shape.Width)
	eps := make([]float32, dim)
	for i := range n {
		key := rng.Key{Seed: tr.settings.Seed, Iteration: uint32(tr.step), Sample: uint32(lo + i)}
		prompt := tr.source.Example(at(key, rng.Data), img)
		at(key, rng.PretrainNoise).Normals(eps)
		t := tr.time(at(key, rng.PretrainTime))
		b.T[i] = float32(t)
		for j, x0 := range img.Pix {
			b.X[i*dim+j] = float32(float32(1-t)*x0) + float32(float32(t)*eps[j])
			target[i*dim+j] = eps[j] - x0
		}
		caption := prompt.Text
		if tr.settings.Dropout > 0 && at(key, rng.Dropout).Rand().Float64() < tr.settings.Dropout {
			caption = ""
		}
		b.Cond = append(b.Cond, text.TokenCondition(caption))
	}
	b.Bind = func(p graph.Binder) { p.Bind("target", target) }
	return b
}

func at(k rng.Key, p rng.Purpose) rng.Key {
	k.Purpose = p
	return k
}

// time draws a logit-normal time.
func (tr *Trainer) time(key rng.Key) float64 {
	var z [1]float32
	key.Normals(z[:])
	return 1 / (1 + portable.Exp(-(tr.settings.TimeMean + float64(tr.settings.TimeStd*float64(z[0])))))
}

// Result returns the model with its averaged weights, split in network and text
// encoder.
func (tr *Trainer) Result() *policy.Model {
	return tr.Model.Network.(*policy.Captioned).Split(tr.EMA.Average.Base)
}
