package sde

import (
	"fmt"

	"flowgrpo/internal/portable"
)

// A Schedule lists the T+1 times of T denoising steps, strictly decreasing from
// 1 to 0. Step i goes from s[i] to s[i+1].
//
// The constructors return valid schedules and panic if their arguments make
// that impossible; [NewSchedule] checks times from elsewhere.
type Schedule []float64

// NewSchedule returns times as a Schedule, or an error that names the first
// entry which is out of order.
func NewSchedule(times []float64) (Schedule, error) {
	n := len(times)
	if n < 2 {
		return nil, fmt.Errorf("sde: a schedule needs at least 2 times, found %d", n)
	}
	if times[0] != 1 || times[n-1] != 0 {
		return nil, fmt.Errorf("sde: a schedule runs from 1 to 0, found %g to %g", times[0], times[n-1])
	}
	for i := range n - 1 {
		if !(times[i+1] < times[i]) {
			return nil, fmt.Errorf("sde: a schedule decreases strictly, found time %d = %g after %g", i+1, times[i+1], times[i])
		}
	}
	return Schedule(times), nil
}

// Steps returns T, the number of steps.
func (s Schedule) Steps() int { return len(s) - 1 }

// Step returns the times of step i, 0 ≤ i < T.
func (s Schedule) Step(i int) (t, next float64) { return s[i], s[i+1] }

// build fills a schedule of T steps from times 1 to T-1 and checks it.
func build(steps int, time func(i int) float64) Schedule {
	if steps < 1 {
		panic("sde: a schedule needs at least 1 step")
	}
	s := make(Schedule, steps+1)
	s[0] = 1
	for i := 1; i < steps; i++ {
		s[i] = time(i)
	}
	if _, err := NewSchedule(s); err != nil {
		panic(err.Error())
	}
	return s
}

// Uniform returns T equal steps, t_i = 1 - i/T.
func Uniform(steps int) Schedule {
	return build(steps, func(i int) float64 { return float64(steps-i) / float64(steps) })
}

// Shifted returns T equal steps pushed towards noise by a static shift s > 0,
//
//	t ↦ s·t / (1 + (s-1)·t).
//
// s = 1 is [Uniform]. Large pictures need more steps at high noise, because
// neighbouring pixels average it away; DanceGRPO uses 3 for pictures.
func Shifted(steps int, shift float64) Schedule {
	checkShift(shift)
	return build(steps, func(i int) float64 {
		return shifted(float64(steps-i)/float64(steps), shift)
	})
}

// SD3 returns the schedule that diffusers' FlowMatchEulerDiscreteScheduler makes
// for Stable Diffusion 3 (shift 3), which applies the shift twice: once to the
// smallest time of training, 1/1000, and again to T times spaced equally from 1
// down to that. So the last time before 0 is tiny, .0089 at any T > 1, and the
// last step does next to nothing. (huggingface/diffusers issue 13243.)
func SD3(steps int, shift float64) Schedule {
	checkShift(shift)
	lowest := shifted(1.0/1000, shift)
	return build(steps, func(i int) float64 {
		u := float64(i) / float64(steps-1)
		return shifted(1-float64(u*(1-lowest)), shift)
	})
}

// Flux returns the schedule of FLUX.1: T equal steps with a shift e^μ that grows
// with the picture,
//
//	t ↦ e^μ / (e^μ + 1/t - 1),
//
// where μ is linear in the number of latent tokens, 0.5 at 256 and 1.15 at 4096.
func Flux(steps, tokens int) Schedule {
	if tokens < 1 {
		panic("sde: Flux needs at least 1 token")
	}
	mu := 0.5 + float64((1.15-0.5)*float64(tokens-256))/(4096-256)
	return Shifted(steps, portable.Exp(mu)) // e^μ/(e^μ+1/t-1) = s·t/(1+(s-1)·t) with s = e^μ
}

// shifted returns s·t/(1 + (s-1)·t).
func shifted(t, s float64) float64 {
	return float64(s*t) / (1 + float64((s-1)*t))
}

// checkShift panics unless 0 < shift ≤ 1000, so also for NaN.
func checkShift(shift float64) {
	if !(0 < shift && shift <= 1000) {
		panic("sde: shift needs 0 < shift ≤ 1000")
	}
}
