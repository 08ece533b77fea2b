package sde_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"flowgrpo/sde"
)

var (
	_ sde.Window = sde.AllButLast{}
	_ sde.Window = sde.RandomWindow{}
	_ sde.Window = sde.RandomSubset{}
	_ sde.Window = sde.Fixed{}
)

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }

func indices(flags []bool) []int { return sde.Plan{Train: flags}.Trained() }

// Whatever the window: trained steps are noisy, the last is not, and equal
// random streams give equal plans.
func TestPlanInvariants(t *testing.T) {
	t.Parallel()
	for _, w := range []sde.Window{
		sde.AllButLast{}, sde.RandomWindow{Size: 3}, sde.RandomWindow{Size: 2, Lo: 1, Hi: 5},
		sde.RandomSubset{Size: 4}, sde.RandomSubset{Size: 9}, sde.Fixed{Steps: []int{8, 0, 3}},
	} {
		for seed := range uint64(50) {
			p, again := w.Plan(10, newRand(seed)), w.Plan(10, newRand(seed))
			if !slices.Equal(p.Train, again.Train) || !slices.Equal(p.Noisy, again.Noisy) {
				t.Errorf("%#v: two plans from one seed differ", w)
			}
			if len(p.Noisy) != 10 || len(p.Train) != 10 || p.Noisy[9] || len(p.Trained()) == 0 {
				t.Errorf("%#v: plan %v", w, p)
			}
			for _, i := range p.Trained() {
				if !p.Noisy[i] {
					t.Errorf("%#v: step %d is trained without noise", w, i)
				}
			}
		}
	}
}

func TestPlans(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name         string
		w            sde.Window
		steps        int
		noisy, train []int
		reason       string
	}{
		{"all", sde.AllButLast{}, 4, []int{0, 1, 2}, []int{0, 1, 2}, ""},
		{"two steps", sde.AllButLast{}, 2, []int{0}, []int{0}, "the smallest plan"},
		{"fixed", sde.Fixed{Steps: []int{3, 1}}, 6, []int{1, 3}, []int{1, 3}, "order is the schedule's"},
		{"full window", sde.RandomWindow{Size: 5}, 6, []int{0, 1, 2, 3, 4}, []int{0, 1, 2, 3, 4}, "one position left"},
		{"FLUX fast", sde.RandomWindow{Size: 3, Lo: 0, Hi: 3}, 6, []int{0, 1, 2}, []int{0, 1, 2}, "the released range leaves one position"},
		{"full subset", sde.RandomSubset{Size: 3}, 4, []int{0, 1, 2}, []int{0, 1, 2}, ""},
	} {
		p := tt.w.Plan(tt.steps, newRand(1))
		if got := indices(p.Noisy); !slices.Equal(got, tt.noisy) {
			t.Errorf("%s: noisy steps %v, want %v (%s)", tt.name, got, tt.noisy, tt.reason)
		}
		if got := p.Trained(); !slices.Equal(got, tt.train) {
			t.Errorf("%s: trained steps %v, want %v (%s)", tt.name, got, tt.train, tt.reason)
		}
	}
}

// A random window starts equally often at every position of its range, and a
// random subset contains every step equally often.
func TestRandomPlansAreUniform(t *testing.T) {
	t.Parallel()
	const draws = 6000
	r := newRand(3)
	starts, members := make([]int, 9), make([]int, 9)
	for range draws {
		p := sde.RandomWindow{Size: 2, Lo: 1, Hi: 8}.Plan(10, r)
		got := p.Trained()
		if len(got) != 2 || got[1] != got[0]+1 || !slices.Equal(p.Noisy, p.Train) {
			t.Fatalf("window %v", p)
		}
		starts[got[0]]++
		q := sde.RandomSubset{Size: 3}.Plan(10, r)
		if len(indices(q.Noisy)) != 9 {
			t.Fatalf("subset %v, want every step but the last noisy", q)
		}
		for _, i := range q.Trained() {
			members[i]++
		}
	}
	for i := range 9 {
		want := 0
		if 1 <= i && i <= 6 {
			want = draws / 6
		}
		if d := starts[i] - want; d*d > 25*want { // five standard deviations
			t.Errorf("window started %d times at %d, want about %d", starts[i], i, want)
		}
		if d := members[i] - draws/3; d*d > 25*draws/3 {
			t.Errorf("step %d was in %d subsets, want about %d", i, members[i], draws/3)
		}
	}
}

func TestWindowPanics(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]func(){
		"one step":           func() { sde.AllButLast{}.Plan(1, nil) },
		"empty window":       func() { sde.RandomWindow{}.Plan(10, newRand(1)) },
		"window too wide":    func() { sde.RandomWindow{Size: 10}.Plan(10, newRand(1)) },
		"window on the last": func() { sde.RandomWindow{Size: 1, Lo: 9, Hi: 10}.Plan(10, newRand(1)) },
		"negative start":     func() { sde.RandomWindow{Size: 1, Lo: -1, Hi: 3}.Plan(10, newRand(1)) },
		"empty subset":       func() { sde.RandomSubset{}.Plan(10, newRand(1)) },
		"subset too large":   func() { sde.RandomSubset{Size: 10}.Plan(10, newRand(1)) },
		"empty set":          func() { sde.Fixed{}.Plan(10, nil) },
		"last step":          func() { sde.Fixed{Steps: []int{9}}.Plan(10, nil) },
		"negative step":      func() { sde.Fixed{Steps: []int{-1}}.Plan(10, nil) },
		"repeated step":      func() { sde.Fixed{Steps: []int{1, 1}}.Plan(10, nil) },
	} {
		mustPanic(t, name, f)
	}
}
