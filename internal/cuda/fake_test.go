//go:build gpu

package cuda

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"
	"unsafe"
)

// TestFailingAllocation lets the second allocation fail.
func TestFailingAllocation(t *testing.T) {
	c := openFake(t)
	t.Setenv("FLOWGRPO_FAKE_FAIL_ALLOCATION", "2")
	for i := range 3 {
		p, err := c.Alloc(1 << 20)
		if OutOfMemory(err) != (i == 1) {
			t.Errorf("allocation %d: %v", i, err)
		}
		must(t, c.Free(p))
	}
}

// TestMemoryIsCounted compares what is free before and after.
func TestMemoryIsCounted(t *testing.T) {
	t.Setenv("FLOWGRPO_FAKE_MEMORY", "3145728")
	c := openFake(t)
	p, err := c.Alloc(2 << 20)
	must(t, err)
	if free, total, _ := c.Memory(); free != 1<<20 || total != 3<<20 {
		t.Errorf("%d of %d bytes are free", free, total)
	}
	want := "cuda: allocate 2 MiB on fake GPU (device 0): CUDA_ERROR_OUT_OF_MEMORY (out of memory); 1 MiB of 3 MiB free"
	if _, err := c.Alloc(2 << 20); err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	must(t, c.Free(p))
	if free, _, _ := c.Memory(); free != 3<<20 {
		t.Errorf("%d bytes are free", free)
	}
}

// TestLostDevice loses the device at the second launch and finds it again in a new context.
func TestLostDevice(t *testing.T) {
	for code, name := range map[string]string{"": "LAUNCH_FAILED", "214": "ECC_UNCORRECTABLE"} {
		t.Run(name, func(t *testing.T) {
			if err := Status(); err != nil {
				t.Skip(err)
			}
			c := openFake(t)
			s, err := c.NewStream()
			must(t, err)
			x, err := c.Alloc(4)
			must(t, err)
			must(t, s.Zero(x, 4))
			f := kernelOf(t, c)
			t.Setenv("FLOWGRPO_FAKE_LOSE_CODE", code)
			t.Setenv("FLOWGRPO_FAKE_LOSE_LAUNCH", "2")
			must(t, s.Launch(f, axpy(x, x, 1, 1)))
			must(t, s.Synchronize())
			must(t, s.Launch(f, axpy(x, x, 1, 1))) // as of a real driver, the error comes later
			err = s.Synchronize()
			if !Lost(err) || OutOfMemory(err) || !strings.Contains(err.Error(), name) {
				t.Errorf("Synchronize: %v", err)
			}
			if err := s.Zero(x, 4); !Lost(err) {
				t.Errorf("Zero: %v", err)
			}
			if err := c.Free(x); !Lost(err) {
				t.Errorf("Free: %v", err)
			}
			s.Close()
		})
	}
	c := openFake(t)
	s := stream(t, c)
	equal(t, get(t, s, put(t, s, 1), 1), 1)
}

// kernelOf is kernel where the module cannot be unloaded at the end.
func kernelOf(t *testing.T, c *Context) *Function {
	t.Helper()
	m, err := c.Load(axpyPTX)
	must(t, err)
	f, err := m.Function("test_axpy")
	must(t, err)
	return f
}

// TestFakeFindsFaults checks that the fake driver does not let pass what a real one may not forgive.
func TestFakeFindsFaults(t *testing.T) {
	c := openFake(t)
	s := stream(t, c)
	p, err := c.Alloc(8)
	must(t, err)
	if err := s.Zero(p, 12); err == nil {
		t.Error("12 bytes of 8 were cleared")
	}
	if err := s.Launch(kernel(t, c, "test_axpy"), Launch{Threads: 64, Shared: 64 << 10}); err == nil {
		t.Error("a launch got 64 KiB of shared memory unasked")
	}
	if _, err := s.Capture(func() error { var x float32; return s.CopyIn(p, unsafe.Pointer(&x), 4) }); err == nil {
		t.Error("a copy from memory that is not pinned was recorded")
	}
	params := binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, uint64(p)), 2)
	must(t, s.Launch(kernel(t, c, "test_overrun"), Launch{Threads: 1, Params: params}))
	if err := c.Free(p); !Lost(err) {
		t.Errorf("a write beyond the end of memory: %v", err)
	}
}

// TestTwoDevices uses two devices at the same time, and one for what is the other's.
func TestTwoDevices(t *testing.T) {
	t.Setenv("FLOWGRPO_FAKE_DEVICES", "2")
	first := openFake(t)
	second, err := Open(1)
	must(t, err)
	t.Cleanup(func() { must(t, second.Close()) })
	done := make(chan error)
	for _, c := range []*Context{first, second} {
		s, f := stream(t, c), kernel(t, c, "test_axpy")
		x, y := put(t, s, 1), put(t, s, 0)
		go func() {
			var err error
			for range 1000 {
				err = errors.Join(err, s.Launch(f, axpy(x, y, 1, 1)))
			}
			done <- errors.Join(err, s.Synchronize())
		}()
		defer func() { equal(t, get(t, s, y, 1), 1000) }()
	}
	must(t, errors.Join(<-done, <-done))
	if err := stream(t, second).Zero(put(t, stream(t, first), 1), 4); err == nil {
		t.Error("a device cleared the memory of another")
	}
}

// TestUnjoinedCapture leaves work on a second stream that the first does not wait for.
func TestUnjoinedCapture(t *testing.T) {
	c := openFake(t)
	s, other := stream(t, c), stream(t, c)
	x, e := put(t, s, 1), event(t, c)
	_, err := s.Capture(func() error {
		must(t, s.Record(e))
		must(t, other.Wait(e))
		return other.Zero(x, 4)
	})
	if err == nil || !strings.Contains(err.Error(), "UNJOINED") {
		t.Errorf("Capture: %v", err)
	}
	must(t, other.Zero(x, 4))
}

// TestTensorMap reads a map back in a kernel.
func TestTensorMap(t *testing.T) {
	c := openFake(t)
	s := stream(t, c)
	x := put(t, s, make([]float32, 11)...)
	for _, test := range []struct {
		tiles Tiles
		want  []float32
	}{
		{Tiles{BFloat16, x, []int{64, 5}, []int{128}, []int{32, 4}, 64}, []float32{64, 5, 0, 128, 0, 32, 4, 0, 2, 2, 64}},
		{Tiles{Float32, x, []int{8, 5, 3}, []int{32, 160}, []int{8, 5, 1}, 0}, []float32{8, 5, 3, 32, 160, 8, 5, 1, 3, 4, 0}},
		{Tiles{BFloat16, x, []int{64, 5}, []int{128}, []int{64, 4}, 128}, []float32{64, 5, 0, 128, 0, 64, 4, 0, 2, 2, 128}},
	} {
		m, err := EncodeTensorMap(test.tiles)
		must(t, err)
		params := binary.LittleEndian.AppendUint64(m[:], uint64(x))
		must(t, s.Launch(kernel(t, c, "test_describe"), Launch{Threads: 1, Params: params}))
		equal(t, get(t, s, x, 11), test.want...)
	}
	_, err := EncodeTensorMap(Tiles{Float32, x + 4, []int{8, 5}, []int{32}, []int{8, 5}, 0})
	if err == nil || !strings.Contains(err.Error(), "sizes [8 5], strides [32], box [8 5]") {
		t.Errorf("an address that is no multiple of 16: %v", err)
	}
}
