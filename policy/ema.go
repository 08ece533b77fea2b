package policy

import "flowgrpo/internal/kernel"

// EMA keeps an exponential moving average of trained parameters, updated once per
// optimizer step:
//
//	avg ← d·avg + (1-d)·θ,  d = min(Decay, (1+n)/(10+n)) for the n-th step,
//
// so that the average follows the parameters closely while it is young. (The
// released Flow-GRPO code has the same ramp, but applies it per micro-batch.)
type EMA struct {
	Decay   float64 // in [0, 1); 0 makes the average equal the parameters
	Average Theta
	Updates int // n
}

// NewEMA returns an average that begins at theta.
func NewEMA(theta Theta, decay float64) *EMA { return &EMA{Decay: decay, Average: theta.Copy()} }

// Update moves the average towards theta and returns the decay that it used.
func (e *EMA) Update(theta Theta) float64 {
	n := float64(e.Updates)
	decay := min(e.Decay, (1+n)/(10+n))
	if decay == 0 { // a - (a - b) is not b in floating point
		copy(e.Average.Trainable(), theta.Trainable())
	} else {
		kernel.EMA(e.Average.Trainable(), theta.Trainable(), float32(decay))
	}
	e.Updates++
	return decay
}
