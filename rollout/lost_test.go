package rollout

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"flowgrpo/sde"
)

// A device that is lost, at whatever call, changes no result. It is reported, and not
// used again.
func TestLostDeviceChangesNothing(t *testing.T) {
	t.Parallel()
	for name, draw := range map[string]func(*testing.T, *Pool) [][]float32{
		"own noise":    func(t *testing.T, p *Pool) [][]float32 { return states(t, p, tinyProcess()) },
		"shared noise": func(t *testing.T, p *Pool) [][]float32 { return states(t, p, lateProcess()) },
		"integrate": func(t *testing.T, p *Pool) [][]float32 {
			pictures, err := p.Integrate(t.Context(), sde.Heun{}, tinySchedule, tinyNoise, requests(23))
			if err != nil {
				t.Fatal(err)
			}
			return pictures
		},
	} {
		t.Run(name, func(t *testing.T) {
			simulated(t, func(t *testing.T) {
				want := draw(t, fakePool(4, &fake{name: "alone", speed: 1}))
				n := 1
				for ; checkLoss(t, n, want, draw); n++ {
				}
				if n < 10 {
					t.Errorf("the device has %d calls, want more to fail at", n-1)
				}
			})
		})
	}
}

// checkLoss draws on devices of which one is lost at its n-th call, and tells whether
// it had that many.
func checkLoss(t *testing.T, n int, want [][]float32, draw func(*testing.T, *Pool) [][]float32) bool {
	faulty := &fake{name: "faulty", speed: 3, batch: 5, failAt: n}
	p := fakePool(4, &fake{name: "a", speed: 2}, faulty, &fake{name: "b", speed: 1.1, batch: 3})
	var told []Failure
	p.OnLost = func(f Failure) { told = append(told, f) }
	for range 2 {
		if !slices.EqualFunc(draw(t, p), want, equalBits) {
			t.Fatalf("lost at call %d: the results differ", n)
		}
	}
	if faulty.calls < n {
		return false
	}
	if faulty.calls > n {
		t.Errorf("lost at call %d: used again", n)
	}
	if len(told) != 1 || told[0] != (Failure{"faulty", errLost}) || !slices.Equal(p.Lost(), told) {
		t.Errorf("lost at call %d: told %v, lost %v", n, told, p.Lost())
	}
	if p.Devices() != 3 {
		t.Errorf("%d devices, want 3, lost ones too", p.Devices())
	}
	return true
}

// states returns all that trajectories consist of, one row a sample.
func states(t *testing.T, p *Pool, how Process) [][]float32 {
	trajectories, err := p.Sample(t.Context(), how, tinyNoise, requests(23))
	if err != nil {
		t.Fatal(err)
	}
	rows := make([][]float32, len(trajectories))
	for i, traj := range trajectories {
		rows[i] = slices.Concat(slices.Concat(traj.States...), slices.Concat(traj.Velocities...))
		for _, l := range traj.Logp {
			rows[i] = append(rows[i], float32(l))
		}
	}
	return rows
}

// If all are lost, at whatever calls, the error says who and why, then and later.
func TestAllLost(t *testing.T) {
	simulated(t, func(t *testing.T) {
		for n := 1; n <= 4; n++ {
			why := errors.New("out of memory")
			p := fakePool(2, &fake{name: "gpu:0", speed: 3, failAt: n}, &fake{name: "gpu:1", speed: 2, failAt: 2, err: errors.Join(errLost, why)})
			for range 2 {
				_, err := p.Integrate(t.Context(), sde.Euler{}, tinySchedule, tinyNoise, requests(23))
				if !errors.Is(err, errLost) || !errors.Is(err, why) {
					t.Fatalf("error %v, want %v and %v", err, errLost, why)
				}
				for _, name := range []string{"all devices are lost", "gpu:0", "gpu:1"} {
					if strings.Count(err.Error(), name) != 1 {
						t.Errorf("error %v, want %s in it once", err, name)
					}
				}
			}
			if len(p.Lost()) != 2 {
				t.Errorf("lost %v, want two", p.Lost())
			}
			if err := p.Each(t.Context(), 0, chunk); err != nil {
				t.Errorf("nothing to do, but %v", err)
			}
		}
	})
}

// OnLost is called for one device at a time, and may ask the pool.
func TestOnLostIsCalledInTurn(t *testing.T) {
	simulated(t, func(t *testing.T) {
		p := fakePool(1, &fake{name: "a", speed: 1}, &fake{name: "b", speed: 1, failAt: 2}, &fake{name: "c", speed: 1, failAt: 2})
		var running sync.Mutex
		told := 0
		p.OnLost = func(f Failure) {
			if !running.TryLock() {
				t.Error("told of two devices at a time")
			}
			defer running.Unlock()
			if !slices.Contains(p.Lost(), f) {
				t.Errorf("%v is not lost yet", f)
			}
			told++
			for range 1000 {
				runtime.Gosched() // so that another could begin
			}
		}
		if elapsed(t, p, 20); told != 2 {
			t.Errorf("told of %d devices, want 2", told)
		}
	})
}

// A slow device that leaves a chunk to a fast one does it if that is lost, however
// long the report takes.
func TestLossWakesWhoWaits(t *testing.T) {
	simulated(t, func(t *testing.T) {
		fast, slow := &fake{name: "fast", speed: 10}, &fake{name: "slow", speed: 1}
		p := fakePool(4, fast, slow)
		elapsed(t, p, 20)
		fast.failAt = fast.calls + 3
		p.OnLost = func(Failure) { time.Sleep(seconds(5)) }
		if took := elapsed(t, p, 20); !near(took, 3*0.4+12) {
			t.Errorf("took %g s, want three chunks of 0.4 s and three of 4 s", took)
		}
	})
}

// An error that does not say that the device is lost ends the work, that of others too,
// and the device stays.
func TestErrorThatIsNoLoss(t *testing.T) {
	for name, n := range map[string]int{"other works": 100, "other waits": 20, "other waits for the last": 12} {
		t.Run(name, func(t *testing.T) {
			simulated(t, func(t *testing.T) {
				fast, slow := &fake{name: "fast", speed: 10}, &fake{name: "slow", speed: 1}
				p := fakePool(4, fast, slow)
				elapsed(t, p, 20)
				p.OnLost = func(f Failure) { t.Errorf("%v is lost", f) }
				fast.failAt, fast.err = fast.calls+3, errors.New("misuse")
				start := time.Now()
				err := p.Each(t.Context(), n, chunk)
				if !errors.Is(err, fast.err) || err.Error() != "rollout: device fast: misuse" {
					t.Errorf("error %v, want %v of its device", err, fast.err)
				}
				if took := time.Since(start).Seconds(); !near(took, 1.2) {
					t.Errorf("took %g s, want three chunks of 0.4 s", took)
				}
				fast.failAt = 0
				if took := elapsed(t, p, 20); !near(took, 2) {
					t.Errorf("took %g s afterwards, want 2", took)
				}
			})
		})
	}
}

// A cancelled context ends the work, and no device is lost by it.
func TestCancelledContext(t *testing.T) {
	simulated(t, func(t *testing.T) {
		fast, slow := &fake{name: "fast", speed: 10}, &fake{name: "slow", speed: 1}
		p := fakePool(4, fast, slow)
		elapsed(t, p, 20)
		for i := range 100 {
			start, limit := time.Now(), seconds(0.05+0.039*float64(i))
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			if i%2 == 0 {
				ctx, cancel = context.WithCancel(t.Context())
				time.AfterFunc(limit, cancel)
			}
			err := p.Each(ctx, 100, chunk)
			if want := ctx.Err(); want == nil || !errors.Is(err, want) || time.Since(start) != limit {
				t.Errorf("error %v after %v, want the context's %v after %v", err, time.Since(start), want, limit)
			}
			cancel()
		}
		if p.Lost() != nil {
			t.Errorf("lost %v", p.Lost())
		}
		if took := elapsed(t, p, 20); !near(took, 2) {
			t.Errorf("took %g s afterwards, want 2", took)
		}
	})
}

// No chunk is begun once the context is cancelled, and work that is done then is done.
func TestNothingBeginsAfterCancel(t *testing.T) {
	simulated(t, func(t *testing.T) {
		for n, want := range map[int]error{4: nil, 8: nil, 9: context.Canceled} {
			ctx, cancel := context.WithCancel(t.Context())
			p := fakePool(4, &fake{name: "a", speed: 1}, &fake{name: "b", speed: 1})
			time.AfterFunc(time.Second, cancel)
			err := p.Each(ctx, n, func(ctx context.Context, d Device, lo, hi int) error {
				if ctx.Err() != nil {
					t.Errorf("%d samples: [%d, %d) is begun too late", n, lo, hi)
				}
				return d.(*fake).spend(context.Background(), hi-lo)
			})
			if !errors.Is(err, want) {
				t.Errorf("%d samples: error %v, want %v", n, err, want)
			}
		}
	})
}

// A panic comes out of Each, also when others wait for the device; the pool serves on.
func TestPanicComesOut(t *testing.T) {
	simulated(t, func(t *testing.T) {
		fast, slow := &fake{name: "fast", speed: 10}, &fake{name: "slow", speed: 1}
		p := fakePool(4, fast, slow)
		elapsed(t, p, 20)
		func() {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			_ = p.Each(t.Context(), 20, func(ctx context.Context, d Device, lo, hi int) error {
				if err := chunk(ctx, d, lo, hi); err != nil || lo < 8 {
					return err
				}
				panic("misuse")
			})
		}()
		if took := elapsed(t, p, 20); !near(took, 2) {
			t.Errorf("took %g s afterwards, want 2", took)
		}
	})
}

// A device serves one call of Each at a time: fake panics if it is entered twice.
func TestCallsTakeTurns(t *testing.T) {
	simulated(t, func(t *testing.T) {
		p := fakePool(2, &fake{name: "a", speed: 3}, &fake{name: "b", speed: 2})
		var calls sync.WaitGroup
		for range 4 {
			calls.Go(func() {
				if err := p.Each(t.Context(), 30, chunk); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if err := p.Each(ctx, 30, chunk); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > time.Second {
			t.Errorf("error %v after %v, want the context's at its deadline", err, time.Since(start))
		}
		calls.Wait()
	})
}
