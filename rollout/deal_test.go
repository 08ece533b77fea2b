package rollout

import (
	"context"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"
)

// near tells whether two times in seconds are the same but for rounding.
func near(a, b float64) bool { return math.Abs(a-b) < 1e-6 }

// Devices get work in the measure of their speed.
func TestWorkGoesWhereItIsDone(t *testing.T) {
	simulated(t, func(t *testing.T) {
		fast, slow := &fake{name: "fast", speed: 10}, &fake{name: "slow", speed: 2.5}
		if took := elapsed(t, fakePool(2, fast, slow), 1000); took > 81 {
			t.Errorf("took %g s, want about 80", took)
		}
		if n := fast.samples(); n < 798 || n > 802 {
			t.Errorf("the fast device has done %d samples of 1000, want about 800", n)
		}
	})
}

// Once its speed is known, a slow device takes a chunk only where the fast one would
// not be through with everything sooner.
func TestSlowDeviceHoldsNobodyUp(t *testing.T) {
	simulated(t, func(t *testing.T) {
		fast, slow := &fake{name: "fast", speed: 10}, &fake{name: "slow", speed: 1}
		p := fakePool(4, fast, slow) // a chunk takes the fast one 0.4 s, the slow one 4 s
		for i, c := range []struct {
			samples int
			want    float64
			slow    int // samples
		}{
			{20, 4, 4},     // nothing is known
			{20, 2, 0},     // the fast one alone
			{39, 3.9, 0},   // 3.9 s without it
			{41, 4, 4},     // 4.1 s without it
			{60, 5.6, 4},   // one chunk, and none when it is free again
			{100, 9.2, 8},  // two
			{85, 8, 4 + 4}, // two, the second just in time
		} {
			before := slow.samples()
			if took := elapsed(t, p, c.samples); !near(took, c.want) || slow.samples()-before != c.slow {
				t.Errorf("call %d, %d samples: %g s, %d on the slow device; want %g s and %d", i, c.samples, took, slow.samples()-before, c.want, c.slow)
			}
		}
	})
}

// Devices that are about as fast never wait for each other: the last chunk goes to the
// first that is free.
func TestLikeDevicesDoNotWait(t *testing.T) {
	simulated(t, func(t *testing.T) {
		var slots []*fake
		for i := range 8 {
			slots = append(slots, &fake{name: fmt.Sprint("cpu:", i), speed: 1 + 0.05*float64(i)})
		}
		p := fakePool(5, slots...)
		for range 5 {
			// The fastest has its second chunk, the slowest its only one.
			if took := elapsed(t, p, 9*5); !near(took, 2*5/1.35) {
				t.Errorf("took %g s, want %g", took, 2*5/1.35)
			}
		}
	})
}

// Nor do they wait for one that is late, for which they would if it were much faster.
func TestLikeDevicesDoNotWaitForALateOne(t *testing.T) {
	simulated(t, func(t *testing.T) {
		a, b := &fake{name: "a", speed: 1.1}, &fake{name: "b", speed: 1}
		p := fakePool(10, a, b)
		elapsed(t, p, 20)
		a.speed = 0.3
		if took := elapsed(t, p, 30); !near(took, 10/0.3) || b.samples() != 30 {
			t.Errorf("took %g s with %d samples on the device that was not late, want %g s and 30", took, b.samples(), 10/0.3)
		}
	})
}

// A chunk is not for a slow device if the faster ones are through with it sooner, as
// their chunks go and with what they are at.
func TestInTime(t *testing.T) {
	simulated(t, func(t *testing.T) {
		// at says how many samples a worker is at, and for how many seconds.
		at := func(speed float64, batch, n int, since float64) *worker {
			return &worker{device: &fake{batch: batch}, speed: speed, at: span{0, n}, since: time.Now().Add(-seconds(since))}
		}
		for name, c := range map[string]struct {
			fast []*worker
			left int
			want bool // for a worker that needs 4 s for its chunk
		}{
			"nobody else":             {nil, 4, true},
			"not known":               {[]*worker{at(0, 0, 0, 0)}, 4, true},
			"not much faster":         {[]*worker{at(1.4, 0, 0, 0)}, 4, true},
			"free":                    {[]*worker{at(2, 0, 0, 0)}, 4, false},
			"free, as long":           {[]*worker{at(2, 0, 0, 0)}, 8, true},
			"busy":                    {[]*worker{at(2, 0, 4, 0)}, 4, true},
			"half done":               {[]*worker{at(2, 0, 4, 1)}, 4, false},
			"a second late":           {[]*worker{at(2, 0, 4, 3)}, 4, false},
			"three seconds late":      {[]*worker{at(2, 0, 4, 5)}, 4, true},
			"two":                     {[]*worker{at(2, 0, 0, 0), at(2, 0, 0, 0)}, 8, false},
			"two, one chunk":          {[]*worker{at(2, 8, 0, 0), at(2, 8, 0, 0)}, 8, true},
			"two, one free":           {[]*worker{at(2, 0, 8, 0), at(2, 0, 0, 0)}, 4, false},
			"two, the other one free": {[]*worker{at(2, 0, 0, 0), at(2, 0, 8, 0)}, 4, false},
			"many that are busy":      {[]*worker{at(2, 4, 5, 0), at(2, 4, 5, 0), at(2, 4, 5, 0), at(2, 4, 5, 0)}, 4, true},
		} {
			slow := at(1, 0, 0, 0)
			d := &dealer{batch: 4, workers: append(c.fast, slow), left: []span{{0, 1}, {1, c.left}}}
			if got := d.inTime(slow, 4); got != c.want {
				t.Errorf("%s: in time %t, want %t", name, got, c.want)
			}
		}
	})
}

// Who left a chunk to another looks again when chunks are done: that one may have
// turned out slow.
func TestDoneChunkChangesMinds(t *testing.T) {
	simulated(t, func(t *testing.T) {
		fast, slow := &worker{device: &fake{}, speed: 10}, &worker{device: &fake{}, speed: 1}
		d := newDealer([]*worker{fast, slow}, 4, 8)
		if s, err := d.deal(t.Context(), fast); s != (span{0, 4}) || err != nil {
			t.Fatal(s, err)
		}
		slow.done, slow.busy = 4, seconds(4) // as ever
		start := time.Now()
		time.AfterFunc(seconds(40), func() { d.finish(fast) })
		if s, err := d.deal(t.Context(), slow); s != (span{4, 8}) || err != nil || time.Since(start) != seconds(40) {
			t.Errorf("the slow worker has %v after %v, %v; want the last chunk after 40 s", s, time.Since(start), err)
		}
	})
}

// A slow device that was left out is tried again, at little cost; if it has become
// fast, it is used.
func TestLeftOutDeviceIsTriedAgain(t *testing.T) {
	simulated(t, func(t *testing.T) {
		fast, slow := &fake{name: "fast", speed: 10}, &fake{name: "slow", speed: 1}
		p := fakePool(4, fast, slow)
		calls := func(n int) (took float64) {
			for range n {
				took += elapsed(t, p, 20)
			}
			return took
		}
		calls(1)
		if took := calls(1000); took <= 2000 || took > 2000*1.06 {
			t.Errorf("1000 calls of 2 s took %g s, want a few percent more", took)
		}
		slow.speed = 10
		if calls(50); !near(calls(1), 1.2) {
			t.Error("a device that is fast now is not used")
		}
	})
}

// What a sample costs differs from call to call, and says nothing of a device.
func TestCostOfASampleDoesNotMatter(t *testing.T) {
	simulated(t, func(t *testing.T) {
		fast, slow := &fake{name: "fast", speed: 10}, &fake{name: "slow", speed: 1}
		p := fakePool(4, fast, slow)
		elapsed(t, p, 20)
		chunks := len(slow.chunks)
		for i, steps := range []float64{1, 40, 40, 10, 1, 40, 1} {
			for _, w := range p.workers {
				w.unused = 0 // or it is tried again, after 20 steps of that many seconds
			}
			run := func(ctx context.Context, d Device, lo, hi int) error {
				d.(*fake).chunks = append(d.(*fake).chunks, span{lo, hi})
				time.Sleep(seconds(steps * float64(hi-lo) / d.(*fake).speed))
				return nil
			}
			if err := p.Each(t.Context(), 20, run); err != nil {
				t.Fatal(err)
			}
			if len(slow.chunks) != chunks {
				t.Fatalf("call %d, of %g steps: the slow device took a chunk", i, steps)
			}
		}
	})
}

// A device has chunks of the size it asks for, and cuts what comes back from another
// to that size.
func TestBatchOfADevice(t *testing.T) {
	simulated(t, func(t *testing.T) {
		big, small := &fake{name: "gpu", speed: 10, batch: 16, failAt: 2}, &fake{name: "cpu", speed: 1}
		elapsed(t, fakePool(3, big, small), 64)
		for _, s := range big.chunks {
			if s.size() != 16 {
				t.Errorf("a chunk of %d, want 16", s.size())
			}
		}
		if len(big.chunks) != 2 {
			t.Errorf("chunks %v after it was lost", big.chunks)
		}
		done := append(slices.Clone(small.chunks), big.chunks[0])
		slices.SortFunc(done, func(a, b span) int { return a.lo - b.lo })
		at := 0
		for _, s := range done {
			if s.lo != at || s.size() > 3 && s != big.chunks[0] {
				t.Errorf("chunk %v after sample %d", s, at)
			}
			at = s.hi
		}
		if at != 64 {
			t.Errorf("%d samples, want 64", at)
		}
	})
}
