//go:build gpu

package cuda

import (
	_ "embed"
	"encoding/binary"
	"errors"
	"math"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"unsafe"
)

//go:embed testdata/axpy.ptx
var axpyPTX []byte

// open returns a context of device 0, of whatever driver there is.
func open(t *testing.T) *Context {
	t.Helper()
	if err := Status(); err != nil {
		t.Skip(err)
	}
	c, err := Open(0)
	must(t, err)
	t.Cleanup(func() { must(t, c.Close()) })
	return c
}

// openFake is open for tests of what only the fake driver does.
func openFake(t *testing.T) *Context {
	t.Helper()
	c := open(t)
	if c.Info().Name != "fake GPU" {
		t.Skip("not the fake driver of internal/gpu/fake")
	}
	return c
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func stream(t *testing.T, c *Context) *Stream {
	t.Helper()
	s, err := c.NewStream()
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	return s
}

// put brings numbers to the device.
func put(t *testing.T, s *Stream, values ...float32) Ptr {
	t.Helper()
	p, err := s.context.Alloc(4 * len(values))
	must(t, err)
	t.Cleanup(func() { must(t, s.context.Free(p)) })
	must(t, s.CopyIn(p, unsafe.Pointer(&values[0]), 4*len(values)))
	must(t, s.Synchronize())
	return p
}

// get fetches numbers from the device.
func get(t *testing.T, s *Stream, p Ptr, n int) []float32 {
	t.Helper()
	values := make([]float32, n)
	must(t, s.CopyOut(unsafe.Pointer(&values[0]), p, 4*n))
	must(t, s.Synchronize())
	return values
}

func equal(t *testing.T, got []float32, want ...float32) {
	t.Helper()
	for i := range want {
		if len(got) != len(want) || got[i] != want[i] {
			t.Fatalf("got %v, want %v", got, want)
		}
	}
}

func kernel(t *testing.T, c *Context, name string) *Function {
	t.Helper()
	image := axpyPTX
	if name != "test_axpy" {
		image = []byte("code of the fake driver")
	}
	m, err := c.Load(image)
	must(t, err)
	t.Cleanup(func() { must(t, m.Close()) })
	f, err := m.Function(name)
	must(t, err)
	return f
}

// axpy is a launch of y = y + a·x.
func axpy(x, y Ptr, a float32, n int) Launch {
	b := binary.LittleEndian.AppendUint64(nil, uint64(x))
	b = binary.LittleEndian.AppendUint64(b, uint64(y))
	b = binary.LittleEndian.AppendUint32(b, math.Float32bits(a))
	b = binary.LittleEndian.AppendUint32(b, uint32(n))
	return Launch{Grid: [3]int{(n + 63) / 64}, Threads: 64, Params: b}
}

// TestNoDriver starts this test again where there is no driver, one that is none, and one without devices.
func TestNoDriver(t *testing.T) {
	want := os.Getenv("FLOWGRPO_TEST_STATUS")
	if want != "" {
		checkUnusable(t, want)
		return
	}
	again := func(want string, settings ...string) {
		cmd := exec.Command(os.Args[0], "-test.run=^TestNoDriver$")
		cmd.Env = append(append(os.Environ(), settings...), "FLOWGRPO_TEST_STATUS="+want)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v: %v\n%s", settings, err, out)
		}
	}
	again("there is no CUDA driver: /nowhere/libcuda.so.1: cannot open", "FLOWGRPO_CUDA_DRIVER=/nowhere/libcuda.so.1")
	again("the CUDA driver does not start: CUDA error 302", "FLOWGRPO_CUDA_DRIVER=libc.so.6")
	openFake(t)
	again("the CUDA driver does not start: CUDA_ERROR_NO_DEVICE (no CUDA-capable device", "FLOWGRPO_FAKE_DEVICES=0")
}

func checkUnusable(t *testing.T, want string) {
	err := Status()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Fatalf("Status: %v, want %s", err, want)
	}
	if _, got := Devices(); !errors.Is(got, err) {
		t.Errorf("Devices: %v", got)
	}
	if _, got := Open(0); !errors.Is(got, err) {
		t.Errorf("Open: %v", got)
	}
	if _, got := EncodeTensorMap(Tiles{}); !errors.Is(got, err) {
		t.Errorf("EncodeTensorMap: %v", got)
	}
	if Lost(err) || OutOfMemory(err) {
		t.Errorf("%v counts as lost or as out of memory", err)
	}
}

// TestStartsWithoutCUDA looks at what the test binary is linked with.
func TestStartsWithoutCUDA(t *testing.T) {
	out, err := exec.Command("readelf", "-d", os.Args[0]).Output()
	if err != nil {
		t.Skip(err)
	}
	if !strings.Contains(string(out), "[libc.so.6]") || strings.Contains(string(out), "libcu") {
		t.Errorf("dynamic section:\n%s", out)
	}
}

func TestDevices(t *testing.T) {
	c := open(t)
	infos, err := Devices()
	must(t, err)
	i := infos[0]
	if i != c.Info() || i.Name == "" || i.Memory <= 0 || i.Major == 0 || i.Processors == 0 ||
		i.SharedPerBlock < 48<<10 || i.Driver < 11000 {
		t.Errorf("%+v", infos)
	}
	if _, err := Open(len(infos)); err == nil || !strings.Contains(err.Error(), "there is no device") {
		t.Errorf("Open(%d): %v", len(infos), err)
	}
}

// TestReopen checks that a thread does not take a context for the one that it knew.
func TestReopen(t *testing.T) {
	if err := Status(); err != nil {
		t.Skip(err)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for range 3 {
		c, err := Open(0)
		must(t, err)
		s, err := c.NewStream()
		must(t, err)
		must(t, errors.Join(c.Synchronize(), s.Close(), c.Close(), c.Close()))
		if _, err := c.Alloc(4); err == nil {
			t.Error("a closed context allocates memory")
		}
	}
}

func TestCopies(t *testing.T) {
	c := open(t)
	s := stream(t, c)
	h, err := c.AllocHost(32)
	must(t, err)
	copy(h.Float32(), []float32{1, 2, 3, 4, 5, 6, 7, 8})
	x, err := c.Alloc(32)
	must(t, err)
	y, err := s.Alloc(32)
	must(t, err)
	must(t, s.CopyIn(x, h.Pointer(), 32))
	must(t, s.Zero(y, 32))
	must(t, s.Copy(y+8, x, 16))
	must(t, s.CopyOut(h.Pointer(), y, 32))
	must(t, s.Synchronize())
	equal(t, h.Float32(), 0, 0, 1, 2, 3, 4, 0, 0)
	if len(h.Bytes()) != 32 || len(h.Float64()) != 4 {
		t.Errorf("%d bytes, %d doubles", len(h.Bytes()), len(h.Float64()))
	}
	must(t, s.Free(y))
	must(t, c.Free(x))
	must(t, h.Free())
}

func TestLaunch(t *testing.T) {
	c := open(t)
	s := stream(t, c)
	x, y := put(t, s, 1, 2, 3), put(t, s, 10, 20, 30)
	f := kernel(t, c, "test_axpy")
	must(t, f.MaxDynamicShared(64<<10))
	must(t, s.Launch(f, axpy(x, y, 2, 3)))
	equal(t, get(t, s, y, 3), 12, 24, 36)
	err := s.Launch(f, Launch{Threads: 4096})
	if err == nil || !strings.HasPrefix(err.Error(), "cuda: launch kernel test_axpy") || Lost(err) {
		t.Errorf("a launch of 4096 threads: %v", err)
	}
}

// TestLaunchDoesNotAllocate counts what a launch leaves to the garbage collector.
func TestLaunchDoesNotAllocate(t *testing.T) {
	c := open(t)
	s := stream(t, c)
	x := put(t, s, 1)
	f, l := kernel(t, c, "test_axpy"), axpy(x, x, 1, 0)
	if n := testing.AllocsPerRun(100, func() { s.Launch(f, l); s.Zero(x, 4); s.Copy(x, x, 4) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkLaunch(b *testing.B) {
	if err := Status(); err != nil {
		b.Skip(err)
	}
	c, err := Open(0)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	m, err := c.Load(axpyPTX)
	if err != nil {
		b.Fatal(err)
	}
	defer m.Close()
	f, _ := m.Function("test_axpy")
	s, _ := c.NewStream()
	defer s.Close()
	l := axpy(0, 0, 0, 0)
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Launch(f, l); err != nil {
			b.Fatal(err)
		}
	}
}

func TestLoadErrors(t *testing.T) {
	c := open(t)
	_, err := c.Load([]byte(".version 7.8\n.target sm_80\n.address_size 64\nerror: no PTX\n"))
	if err == nil || !strings.Contains(err.Error(), "CUDA_ERROR_INVALID_PTX") || !strings.Contains(err.Error(), "fatal") {
		t.Errorf("Load: %v", err)
	}
	m, err := c.Load(axpyPTX)
	must(t, err)
	defer m.Close()
	_, err = m.Function("missing")
	var e *Error
	if !errors.As(err, &e) || e.Name != "CUDA_ERROR_NOT_FOUND" || !strings.Contains(err.Error(), "find kernel missing") {
		t.Errorf("Function: %v", err)
	}
}

// TestCapture records work on two streams and replays it.
func TestCapture(t *testing.T) {
	c := open(t)
	s, other := stream(t, c), stream(t, c)
	x, y, z := put(t, s, 1, 2, 3), put(t, s, 10, 20, 30), put(t, s, 0, 0, 0)
	f := kernel(t, c, "test_axpy")
	forked, joined := event(t, c), event(t, c)
	params := axpy(x, y, 2, 3)
	g, err := s.Capture(func() error {
		return errors.Join(
			s.Launch(f, params), s.Record(forked),
			other.Wait(forked), other.Copy(z, y, 12), other.Record(joined),
			s.Zero(x, 4), s.Wait(joined))
	})
	must(t, err)
	clear(params.Params) // a recording keeps its own
	equal(t, get(t, s, y, 3), 10, 20, 30)
	must(t, s.Replay(g))
	equal(t, get(t, s, z, 3), 12, 24, 36)
	must(t, s.Replay(g))
	equal(t, get(t, s, z, 3), 12, 28, 42)
	must(t, g.Close())
	if err := s.Replay(g); err == nil {
		t.Error("a closed recording was replayed")
	}
}

// TestCaptureFails checks that a stream is of use again after a recording that failed.
func TestCaptureFails(t *testing.T) {
	c := open(t)
	s := stream(t, c)
	x := put(t, s, 1)
	mine := errors.New("mine")
	if _, err := s.Capture(func() error { return mine }); err != mine {
		t.Errorf("Capture: %v", err)
	}
	if _, err := s.Capture(func() error { s.Synchronize(); return nil }); err == nil || Lost(err) {
		t.Errorf("a recording that waited for itself: %v", err)
	}
	func() {
		defer func() { recover() }()
		s.Capture(func() error { panic("mine") })
	}()
	equal(t, get(t, s, x, 1), 1)
}

func event(t *testing.T, c *Context) *Event {
	t.Helper()
	e, err := c.NewEvent()
	must(t, err)
	t.Cleanup(func() { must(t, e.Close()) })
	return e
}

func TestEvents(t *testing.T) {
	c := open(t)
	s := stream(t, c)
	x := put(t, s, make([]float32, 1<<20)...)
	start, end := event(t, c), event(t, c)
	must(t, s.Record(start))
	must(t, s.Zero(x, 4<<20))
	must(t, s.Record(end))
	must(t, end.Synchronize())
	d, err := end.Since(start)
	must(t, err)
	if d <= 0 || d > 1e9 {
		t.Errorf("clearing 4 MiB took %v", d)
	}
}

// TestAnyGoroutine uses a stream where no goroutine has entered the context.
func TestAnyGoroutine(t *testing.T) {
	c := open(t)
	s := stream(t, c)
	x := put(t, s, 0)
	done := make(chan error)
	for range 8 {
		go func() {
			defer c.Enter()()
			done <- errors.Join(s.Zero(x, 4), s.Synchronize())
		}()
		must(t, <-done)
		go func() { done <- s.Zero(x, 4) }()
		must(t, <-done)
	}
}

func TestOutOfMemory(t *testing.T) {
	c := open(t)
	free, total, err := c.Memory()
	must(t, err)
	if free <= 0 || free > total {
		t.Errorf("%d of %d bytes are free", free, total)
	}
	_, err = c.Alloc(int(total) + 1<<30)
	if !OutOfMemory(err) || Lost(err) {
		t.Fatalf("Alloc: %v", err)
	}
	for _, want := range []string{"cuda: allocate ", c.Info().String(), "CUDA_ERROR_OUT_OF_MEMORY", "MiB free"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}
