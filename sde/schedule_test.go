package sde_test

import (
	"math"
	"strings"
	"testing"

	"flowgrpo/sde"
)

const printed = .00006 // four printed decimals

// The times that diffusers computes for the published models.
func TestScheduleTables(t *testing.T) {
	t.Parallel()
	sd340 := sde.SD3(40, 3)
	for _, tt := range []struct {
		name      string
		got, want sde.Schedule
	}{
		{"SD3 T=10", sde.SD3(10, 3), sde.Schedule{1, .9601, .9133, .8577, .7904, .7073, .6022, .4649, .2780, .0089, 0}},
		{"SD3 T=40 end", sd340[36:], sde.Schedule{.2062, .1465, .0810, .0089, 0}},
		{"FLUX T=6", sde.Flux(6, 1024), sde.Schedule{1, .9037, .7897, .6525, .4842, .2730, 0}},
		{"uniform", sde.Uniform(4), sde.Schedule{1, .75, .5, .25, 0}},
		{"shift 3", sde.Shifted(4, 3), sde.Schedule{1, .9, .75, .5, 0}},
		{"SD3 T=1", sde.SD3(1, 3), sde.Schedule{1, 0}},
	} {
		if len(tt.got) != len(tt.want) {
			t.Errorf("%s: %d times, want %d", tt.name, len(tt.got), len(tt.want))
			continue
		}
		for i := range tt.want {
			if math.Abs(tt.got[i]-tt.want[i]) > printed {
				t.Errorf("%s: time %d = %.5f, want %.4f", tt.name, i, tt.got[i], tt.want[i])
			}
		}
	}
}

// Flux is a static shift by e^μ; at 256 and 4096 tokens μ is given.
func TestFluxEnds(t *testing.T) {
	t.Parallel()
	for tokens, mu := range map[int]float64{256: .5, 1024: .63, 4096: 1.15} {
		for i, got := range sde.Flux(8, tokens)[:8] {
			base := 1 - float64(i)/8
			want := math.Exp(mu) / (math.Exp(mu) + 1/base - 1)
			if math.Abs(got-want) > identity {
				t.Errorf("Flux(8, %d)[%d] = %.15g, want %.15g", tokens, i, got, want)
			}
		}
	}
}

// Every constructor gives a valid schedule for every T.
func TestSchedulesAreValid(t *testing.T) {
	t.Parallel()
	for steps := 1; steps <= 200; steps++ {
		for name, s := range map[string]sde.Schedule{
			"Uniform": sde.Uniform(steps), "Shifted": sde.Shifted(steps, 3), "Shifted down": sde.Shifted(steps, .3),
			"SD3": sde.SD3(steps, 3), "SD3 shift 1": sde.SD3(steps, 1), "Flux": sde.Flux(steps, 4096),
		} {
			if _, err := sde.NewSchedule(s); err != nil || s.Steps() != steps {
				t.Fatalf("%s: %d steps, want %d; %v", name, s.Steps(), steps, err)
			}
		}
	}
}

func TestNewScheduleRejects(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		times []float64
		want  string
	}{
		{nil, "at least 2 times, found 0"},
		{[]float64{1}, "at least 2 times, found 1"},
		{[]float64{.9, 0}, "from 1 to 0, found 0.9 to 0"},
		{[]float64{1, .1}, "from 1 to 0, found 1 to 0.1"},
		{[]float64{1, .5, .5, 0}, "time 2 = 0.5 after 0.5"},
		{[]float64{1, .4, .6, 0}, "time 2 = 0.6 after 0.4"},
		{[]float64{1, math.NaN(), 0}, "time 1 = NaN after 1"},
		{[]float64{1, -.5, 0}, "time 2 = 0 after -0.5"},
	} {
		_, err := sde.NewSchedule(tt.times)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("NewSchedule(%v): error %v, want one with %q", tt.times, err, tt.want)
		}
	}
}

func TestSchedulePanics(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]func(){
		"no step":        func() { sde.Uniform(0) },
		"zero shift":     func() { sde.Shifted(4, 0) },
		"NaN shift":      func() { sde.SD3(4, math.NaN()) },
		"infinite shift": func() { sde.SD3(4, math.Inf(1)) },
		"no token":       func() { sde.Flux(4, 0) },
		"endless tokens": func() { sde.Flux(4, 1<<40) },
	} {
		mustPanic(t, name, f)
	}
}
