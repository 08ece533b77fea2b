package policy

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"flowgrpo/internal/graph"
)

// flaky is a backend of which only Lost matters here.
type flaky struct{ graph.Backend }

var errLost = errors.New("fell off the bus")

func (flaky) Lost(err error) bool { return errors.Is(err, errLost) }

// A micro-batch whose backend is lost goes to another replica: the sum is as if nothing had
// happened. When none is left, the error says why.
func TestTeamSurvivesLostBackends(t *testing.T) {
	t.Parallel()
	m := NewModel(&MLP{Dim: 2, Hidden: 3, Layers: 1, PooledDim: 1}, nil, 1)
	size := m.Theta().Size()
	ones := slices.Repeat([]float32{1}, size)
	const batches = 20
	sum := func(backends []graph.Backend, fails func(r *Replica, i int) bool) ([]float32, error) {
		grad := make([]float32, size)
		var lost atomic.Int32
		team := m.NewTeamOn(backends, m.Theta())
		team.OnLost = func(b graph.Backend, err error) {
			if lost.Add(1); b != (flaky{}) || !errors.Is(err, errLost) {
				t.Errorf("lost backend %v: %v", b, err)
			}
		}
		defer func() {
			if want := len(team.lost); int(lost.Load()) != want {
				t.Errorf("told of %d lost backends, want %d", lost.Load(), want)
			}
		}()
		err := team.Gradient(context.Background(), grad, batches, func(r *Replica, s *Sum, i int) error {
			if fails(r, i) {
				return errLost
			}
			s.Add(float32(i+1), ones)
			return nil
		})
		return grad, err
	}
	want, err := sum(make([]graph.Backend, 1), func(*Replica, int) bool { return false })
	if err != nil || want[0] != batches*(batches+1)/2 {
		t.Fatal(want[0], err)
	}
	for first := range batches {
		onDevice := func(r *Replica, i int) bool { return r.backend != nil && i >= first }
		got, err := sum([]graph.Backend{flaky{}, nil, flaky{}}, onDevice)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("lost from micro-batch %d on: sum %v, %v; want %v", first, got[0], err, want[0])
		}
	}
	_, err = sum([]graph.Backend{flaky{}, flaky{}}, func(*Replica, int) bool { return true })
	if !errors.Is(err, errLost) || !strings.Contains(err.Error(), "every device") {
		t.Errorf("all lost: %v", err)
	}
	if _, err := sum([]graph.Backend{nil, flaky{}}, func(r *Replica, _ int) bool { return r.backend == nil }); !errors.Is(err, errLost) {
		t.Errorf("an error of the processor: %v, want %v", err, errLost)
	}
}
