// Package optim updates flat parameter vectors: AdamW with gradient clipping and
// a learning-rate schedule.
package optim

import (
	"fmt"
	"math"

	"flowgrpo/internal/kernel"
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
	return warmup(update, c.Warmup) * (c.Final + (1-c.Final)*(1+math.Cos(math.Pi*progress))/2)
}

// Linear lowers the learning rate to Final of its peak on a straight line.
type Linear struct {
	Warmup, Total int
	Final         float64
}

// Factor implements [Schedule].
func (l Linear) Factor(update int) float64 {
	return warmup(update, l.Warmup) * (1 - (1-l.Final)*fraction(update-l.Warmup, l.Total-l.Warmup))
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

// A NonFiniteError reports a gradient that is NaN or infinite; nothing was
// updated.
type NonFiniteError struct{ Index int }

func (e *NonFiniteError) Error() string {
	return fmt.Sprintf("gradient is not finite (first at parameter %d); weights and moments are unchanged", e.Index)
}

// Step updates params with grad, which it scales in place to the clip norm. It
// returns a *NonFiniteError, with params and moments untouched, if grad holds a
// NaN or an infinity.
func (o *AdamW) Step(params, grad []float32) (Update, error) {
	if !kernel.AllFinite(grad) {
		for i, g := range grad {
			if math.IsNaN(float64(g)) || math.IsInf(float64(g), 0) {
				return Update{}, &NonFiniteError{i}
			}
		}
	}
	s := o.Settings
	u := Update{Norm: math.Sqrt(kernel.SumSquares(grad)), LR: s.LR * s.Schedule.Factor(o.Updates)}
	if s.ClipNorm > 0 && u.Norm > s.ClipNorm {
		u.Clipped = true
		kernel.Scale(grad, float32(s.ClipNorm/u.Norm), grad)
	}
	o.Updates++
	kernel.AdamW(params, grad, o.M, o.V, kernel.AdamWStep{
		LR: u.LR, Beta1: s.Beta1, Beta2: s.Beta2, Eps: s.Eps, WeightDecay: s.WeightDecay, Step: o.Updates,
	})
	return u, nil
}
