// Package optim updates flat parameter vectors: AdamW with gradient clipping and
// a learning-rate schedule.
package optim

import (
	"fmt"
	"math"
	"slices"

	"flowgrpo/internal/kernel"
	"flowgrpo/internal/portable"
)

// Settings configure an AdamW optimizer.
type Settings struct {
	LR           float64 // peak learning rate, > 0
	Beta1, Beta2 float64 // decays of the moments, in [0, 1)
	Eps          float64 // > 0
	WeightDecay  float64 // decoupled, ≥ 0
	ClipNorm     float64 // largest Euclidean norm of the gradient; 0 is no limit
	Schedule     Schedule
}

// A Schedule returns the factor of the learning rate at an update, counted from 0.
type Schedule interface{ Factor(update int) float64 }

// Constant keeps the learning rate, after a linear warm-up.
type Constant struct{ Warmup int }

// Factor implements [Schedule].
func (c Constant) Factor(update int) float64 { return warmup(update, c.Warmup) }

// Cosine lowers the learning rate to Final of its peak along half a cosine.
type Cosine struct {
	Warmup, Total int     // updates
	Final         float64 // in [0, 1]
}

// Factor implements [Schedule].
func (c Cosine) Factor(update int) float64 {
	progress := fraction(update-c.Warmup, c.Total-c.Warmup)
	_, cos := portable.Sincos(math.Pi * progress)
	return warmup(update, c.Warmup) * (c.Final + float64((1-c.Final)*(1+cos)/2))
}

// Linear lowers the learning rate to Final of its peak on a straight line.
type Linear struct {
	Warmup, Total int
	Final         float64
}

// Factor implements [Schedule].
func (l Linear) Factor(update int) float64 {
	return warmup(update, l.Warmup) * (1 - float64((1-l.Final)*fraction(update-l.Warmup, l.Total-l.Warmup)))
}

func warmup(update, n int) float64 {
	if update >= n {
		return 1
	}
	return float64(update+1) / float64(n+1)
}

func fraction(at, total int) float64 {
	if total <= 0 {
		return 0
	}
	return min(1, max(0, float64(at)/float64(total)))
}

// AdamW holds the moments of an optimizer.
type AdamW struct {
	Settings Settings
	M, V     []float32 // first and second moments, laid out like the parameters
	Updates  int       // updates applied so far
}

// NewAdamW returns an optimizer for n parameters.
func NewAdamW(n int, s Settings) *AdamW {
	return &AdamW{Settings: s, M: make([]float32, n), V: make([]float32, n)}
}

// An Update reports what one step did.
type Update struct {
	Norm    float64 // Euclidean norm of the gradient before clipping
	Clipped bool
	LR      float64
}

// A NonFiniteError reports a number that is NaN or infinite, or that a step would leave so;
// nothing was updated.
type NonFiniteError struct {
	Of    string // "gradient", "first moment", "second moment" or "weight"
	Index int    // of the first such parameter
	Value float32
}

func (e *NonFiniteError) Error() string {
	return fmt.Sprintf("%s is not finite (%g, first at parameter %d); weights and moments are unchanged", e.Of, e.Value, e.Index)
}

// Step updates params with grad, which it scales in place to the clip norm. It returns a
// *NonFiniteError, with params and moments untouched, if grad holds a NaN or an infinity,
// or if any parameter or moment would hold one after the step.
func (o *AdamW) Step(params, grad []float32) (Update, error) {
	if err := finite("gradient", grad); err != nil {
		return Update{}, err
	}
	s := o.Settings
	u := Update{Norm: math.Sqrt(kernel.SumSquares(grad)), LR: s.LR * s.Schedule.Factor(o.Updates)}
	if s.ClipNorm > 0 && u.Norm > s.ClipNorm {
		u.Clipped = true
		kernel.Scale(grad, float32(s.ClipNorm/u.Norm), grad)
	}
	step := kernel.AdamWStep{
		LR: u.LR, Beta1: s.Beta1, Beta2: s.Beta2, Eps: s.Eps, WeightDecay: s.WeightDecay, Step: o.Updates + 1,
	}
	if err := o.try(params, grad, step); err != nil {
		return Update{}, err
	}
	o.Updates++
	kernel.AdamW(params, grad, o.M, o.V, step)
	return u, nil
}

const (
	// tryBlock is how many parameters are tried at a time: few enough for the cache.
	tryBlock = 4096
	// room is how far below the largest float32 weights must stay: the moving average takes
	// differences of them.
	room = 4
)

// try makes the step in memory of its own, and returns an error if it leaves a moment or a
// weight that is not finite: one that overflows, or was not finite before. It costs as much
// as the step, which is little beside a gradient, and no copy of the moments.
func (o *AdamW) try(params, grad []float32, step kernel.AdamWStep) error {
	scratch := make([]float32, 3*tryBlock)
	for lo := 0; lo < len(params); lo += tryBlock {
		hi := min(lo+tryBlock, len(params))
		n := hi - lo
		m, v, p := scratch[:n], scratch[tryBlock:tryBlock+n], scratch[2*tryBlock:2*tryBlock+n]
		copy(m, o.M[lo:hi])
		copy(v, o.V[lo:hi])
		copy(p, params[lo:hi])
		kernel.AdamW(p, grad[lo:hi], m, v, step)
		kernel.Scale(p, room, p)
		for _, x := range []struct {
			of   string
			data []float32
		}{{"first moment", m}, {"second moment", v}, {"weight", p}} {
			if err := finite(x.of, x.data); err != nil {
				err.Index += lo
				return err
			}
		}
	}
	return nil
}

// finite returns an error if x, which is called of, holds a NaN or an infinity.
func finite(of string, x []float32) *NonFiniteError {
	if kernel.AllFinite(x) {
		return nil
	}
	i := slices.IndexFunc(x, func(v float32) bool { return v-v != 0 })
	return &NonFiniteError{of, i, x[i]}
}
