package run

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"flowgrpo/eval"
	"flowgrpo/internal/gpu"
	"flowgrpo/internal/graph"
)

// fakeMachine has GPUs that are the processor in disguise: they run programs as it does.
type fakeMachine struct {
	cards  []*fakeCard
	opened atomic.Int32
}

func (m *fakeMachine) Devices() ([]gpu.Info, error) {
	var infos []gpu.Info
	for i := range m.cards {
		infos = append(infos, gpu.Info{Index: i, Name: fmt.Sprint("fake ", i), Memory: 3 << 29, Major: 9, Driver: 12080})
	}
	return infos, nil
}

func (m *fakeMachine) Open(index int, _ gpu.Options) (card, error) {
	m.opened.Add(1)
	return m.cards[index], nil
}

// fakeCard is lost at a run of its choice.
type fakeCard struct {
	free   int64  // bytes
	failAt int32  // number of the first run that fails; 0: none
	only   string // programs that count and fail, "velocity" or "gradient"; "": all
	runs   atomic.Int32
}

var errFakeLost = errors.New("fell off the bus")

func (*fakeCard) Enter() (leave func())                  { return func() {} }
func (*fakeCard) Lost(err error) bool                    { return errors.Is(err, errFakeLost) }
func (c *fakeCard) Memory() (free, total int64, _ error) { return c.free, 3 << 29, nil }
func (c *fakeCard) NewQueue(slice int) (graph.Backend, error) {
	return &fakeQueue{card: c, slice: slice}, nil
}

type fakeQueue struct {
	card  *fakeCard
	slice int
	busy  sync.Mutex
}

func (q *fakeQueue) Slice() int { return q.slice }

func (q *fakeQueue) Compile(w graph.Wanted) (graph.Executable, error) {
	p, err := w.Compile()
	kind := "velocity"
	if len(w.Sums) > 0 {
		kind = "gradient"
	}
	return &fakeProgram{p, q, kind}, err
}

type fakeProgram struct {
	*graph.Program
	queue *fakeQueue
	kind  string
}

func (p *fakeProgram) BindWeight(w graph.Weight) error {
	p.Bind(w.Name, w.Data)
	return nil
}

func (p *fakeProgram) Run(add bool) error {
	if !p.queue.busy.TryLock() {
		panic("a queue is used by two goroutines at once")
	}
	defer p.queue.busy.Unlock()
	c := p.queue.card
	if c.only == "" || c.only == p.kind {
		if n := c.runs.Add(1); c.failAt > 0 && n >= c.failAt {
			return errFakeLost
		}
	}
	p.RunSums(add)
	return nil
}

// openTinyOn is openTiny with all weights trained, since the disguise has no adapters, on
// the GPUs of m, if it is not nil.
func openTinyOn(t *testing.T, m *fakeMachine, use, model string, sets ...string) *Session {
	t.Helper()
	s := openTiny(t, "glyphs", model, append([]string{"train.mode=full", contrast[0]}, sets...)...)
	if m != nil {
		s.Config.Device.Use = use
		var err error
		if s.devices, err = openDevices(s.Config, m); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func fakes(n int) *fakeMachine {
	m := &fakeMachine{}
	for range n {
		m.cards = append(m.cards, &fakeCard{free: 1 << 30})
	}
	return m
}

// A run on GPUs does what one on the processor does, on all GPUs, which are opened once.
func TestRunOnGPUs(t *testing.T) {
	t.Parallel()
	model := tinyModel(t, "glyphs")
	want := timeless(t, trainTiny(t, openTinyOn(t, nil, "", model)))
	for _, use := range []string{"gpu", "all"} {
		m := fakes(2)
		dir := trainTiny(t, openTinyOn(t, m, use, model, "device.batch=2"))
		if got := timeless(t, dir); got != want {
			t.Errorf("%s: figures are\n%s\non the processor\n%s", use, got, want)
		}
		for i, c := range m.cards {
			if c.runs.Load() == 0 {
				t.Errorf("%s: GPU %d has done nothing", use, i)
			}
		}
		if n := m.opened.Load(); n != 2 {
			t.Errorf("%s: GPUs were opened %d times, want once each", use, n)
		}
		info := parse[eval.RunInfo](t, filepath.Join(dir, runFile))
		if got := info.Environment["devices"]; got != use+": GPUs 0 (fake 0), 1 (fake 1), float32" {
			t.Errorf("run.json names the devices %q", got)
		}
	}
}

// Rollouts for training are on the kind of device that computes the update.
func TestPools(t *testing.T) {
	t.Parallel()
	model := tinyModel(t, "glyphs")
	for _, tt := range []struct {
		use                        string
		training, evals, gradients int
	}{{"gpu", 6, 6, 2}, {"all", 6, 6 + 2, 2}, {"cpu", 2, 2, 0}} {
		s := openTinyOn(t, fakes(2), tt.use, model, "device.queues=3")
		for training, want := range map[bool]int{true: tt.training, false: tt.evals} {
			p, err := s.pool(s.base, 8, training)
			if err != nil || p.Devices() != want {
				t.Errorf("%s: %d devices for training = %t, want %d, %v", tt.use, p.Devices(), training, want, err)
			}
		}
		if b, err := s.devices.backends(); err != nil || len(b) != tt.gradients {
			t.Errorf("%s: %d backends, want %d, %v", tt.use, len(b), tt.gradients, err)
		}
	}
}

// talk is what a run says.
type talk struct {
	Silent
	mu   sync.Mutex
	said strings.Builder
}

func (t *talk) Say(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Fprintf(&t.said, format+"\n", args...)
}

// A run goes on without a GPU that is lost, wherever it is, with the same figures; it says
// so once for each queue, and run.json keeps it.
func TestRunLosesGPU(t *testing.T) {
	t.Parallel()
	model := tinyModel(t, "glyphs")
	// Several micro-batches, for both GPUs, and no velocities of a reference in the update.
	sets := []string{"grpo.micro_batch=1", "grpo.kl_coef=0", "grpo.anchor_coef=0"}
	want := timeless(t, trainTiny(t, openTinyOn(t, nil, "", model, sets...)))
	for name, lost := range map[string]*fakeCard{
		"baseline": {failAt: 1, only: "velocity"}, "rollout": {failAt: 25, only: "velocity"},
		"update": {failAt: 1, only: "gradient"}, "later update": {failAt: 4, only: "gradient"},
	} {
		m := fakes(2)
		lost.free, m.cards[1] = 1<<30, lost
		s := openTinyOn(t, m, "gpu", model, append(sets, "device.queues=1", "device.batch=2")...)
		said, dir := &talk{}, filepath.Join(t.TempDir(), "run")
		if _, err := Train(t.Context(), s, Options{Dir: dir, Progress: said}); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := timeless(t, dir); got != want {
			t.Errorf("%s: figures are\n%s\nwithout a loss\n%s", name, got, want)
		}
		if lost.failAt > 1 && lost.runs.Load() < lost.failAt {
			continue // the other GPU was faster: this one did not get so far
		}
		if n := strings.Count(said.said.String(), "warning: device gpu:1/0 is lost and does no more work: "); n != 1 {
			t.Errorf("%s: the loss is told %d times in\n%s", name, n, said.said.String())
		}
		info := parse[eval.RunInfo](t, filepath.Join(dir, runFile))
		if got := info.Environment["lost gpu:1/0"]; !strings.HasSuffix(got, errFakeLost.Error()) {
			t.Errorf("%s: run.json says %q of it", name, got)
		}
	}
}

// With the last GPU the run ends, and can be resumed.
func TestRunLosesAllGPUs(t *testing.T) {
	t.Parallel()
	m := fakes(1)
	m.cards[0].failAt = 60
	s := openTinyOn(t, m, "gpu", tinyModel(t, "glyphs"))
	dir := filepath.Join(t.TempDir(), "run")
	if _, err := Train(t.Context(), s, Options{Dir: dir}); !errors.Is(err, errFakeLost) {
		t.Fatalf("error %v, want %v", err, errFakeLost)
	}
	if info := parse[eval.RunInfo](t, filepath.Join(dir, runFile)); info.State != failed {
		t.Errorf("the run is %s", info.State)
	}
}

// What is missing is said when the recipe is opened.
func TestDevicesErrors(t *testing.T) {
	t.Parallel()
	c := load(t, "glyphs", "device.use=gpu", "device.gpus=[0,2]")
	want := "configs/glyphs.toml: device.gpus: there is no GPU 2; this machine has 0 (fake 0), 1 (fake 1)"
	if _, err := openDevices(c, fakes(2)); err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
	if gpu.Built {
		t.Skip("GPUs are built in")
	}
	want = `device.use = "gpu": this program is built without GPUs (build it with make gpu)`
	for name, open := range map[string]func() error{
		"run":   func() error { _, err := Open(c); return err },
		"model": func() error { _, err := OpenModel("glyphs", c); return err },
	} {
		err := open()
		if setup := (*SetupError)(nil); !errors.As(err, &setup) || err.Error() != want {
			t.Errorf("%s: error %v, want the SetupError %s", name, err, want)
		}
	}
	if got, err := GPUs(); err == nil || err.Error() != "this program is built without GPUs (build it with make gpu)" {
		t.Errorf("GPUs: %q, error %v", got, err)
	}
}

func TestDescribeGPUs(t *testing.T) {
	t.Parallel()
	infos, _ := fakes(2).Devices()
	want := "0: fake 0, 1.5 GiB, compute capability 9.0; 1: fake 1, 1.5 GiB, compute capability 9.0; driver for CUDA 12.8"
	if got := describeGPUs(infos); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// What does not fit on a GPU is an error before anything is written, which names the key and
// the largest value that fits.
func TestFits(t *testing.T) {
	t.Parallel()
	model := tinyModel(t, "glyphs")
	with := func(free int64, micro, batch int) (*GPUMemory, error) {
		m := fakes(2)
		m.cards[1].free = free // the least counts
		return openTinyOn(t, m, "gpu", model, fmt.Sprint("grpo.micro_batch=", micro), fmt.Sprint("device.batch=", batch)).gpuMemory()
	}
	small, err := with(1<<30, 5, 4)
	if err != nil || small.Total <= small.Weights || small.Total != small.Weights+small.Gradient+small.Velocities {
		t.Fatalf("%+v, %v", small, err)
	}
	if _, err := with(int64(small.Total), 5, 4); err != nil {
		t.Errorf("what fits exactly: %v", err)
	}
	for _, tt := range []struct {
		free         int64
		micro, batch int
		want         string
	}{
		{int64(small.Total) - 1, 5, 4, "grpo.micro_batch = 5 is too large, 4 is not: "},
		{int64(small.Total), 20, 4, "grpo.micro_batch = 20 is too large, 5 is not: "},
		{int64(small.Weights + 2*small.Velocities), 1, 64, "device.batch = 64 is too large, 4 is not: "},
		{100, 1, 64, "device.batch = 64 is too large, and so is 1: "},
	} {
		_, err := with(tt.free, tt.micro, tt.batch)
		if err == nil || !strings.HasPrefix(err.Error(), "configs/glyphs.toml: "+tt.want) || !strings.Contains(err.Error(), "GPU 1, fake 1") {
			t.Errorf("error %v, want one with %q", err, tt.want)
		}
	}
	s := openTinyOn(t, &fakeMachine{cards: []*fakeCard{{free: 100}}}, "gpu", model)
	if setup := (*SetupError)(nil); !errors.As(s.Fits(), &setup) {
		t.Errorf("Fits: %v, want a SetupError", s.Fits())
	}
	if err := openTinyOn(t, nil, "", model).Fits(); err != nil {
		t.Errorf("on the processor: %v", err)
	}
}

// A number of a matrix takes four bytes, two in bfloat16, and one in 8 bits, where each row has a
// scale besides; the table of positions, which no product reads, is float32 in all of them.
func TestWeightBytes(t *testing.T) {
	t.Parallel()
	model := tinyModel(t, "glyphs")
	open := func(set string) *Session {
		return openTinyOn(t, fakes(1), "gpu", model, "train.mode=lora", "train.lora_rank=1", set)
	}
	m := open("device.frozen=precision").Model
	adapters, numbers, rows := 2*m.Theta().Size(), 0, 0 // what is trained, and its average
	for _, p := range m.Weights.Parameters() {
		if len(p.Shape) > 1 && p.Name != "pos_embed.pos_embed" {
			numbers, rows = numbers+p.Size(), rows+p.Shape[0]
		}
	}
	all := 4 * (len(m.Weights.Data()) + adapters)
	for set, want := range map[string]int{
		"device.frozen=precision": all, "device.precision=bfloat16": all - 2*(numbers+adapters), "device.frozen=int8": all - 3*numbers + 4*rows,
	} {
		if got := open(set).weightBytes(); got != want {
			t.Errorf("%s: weights take %d bytes, want %d", set, got, want)
		}
	}
}

// A plan on GPUs counts their memory, and none of the processor's for programs.
func TestPlanOnGPUs(t *testing.T) {
	t.Parallel()
	model := tinyModel(t, "glyphs")
	for _, use := range []string{"gpu", "all"} {
		p, err := PlanRun(t.Context(), openTinyOn(t, fakes(1), use, model))
		if err != nil {
			t.Fatal(err)
		}
		g := p.Memory.GPU
		if g == nil || g.Total <= 0 || g.Queues != 2 || p.Memory.Gradient != 0 || (p.Memory.Velocities == 0) != (use == "gpu") {
			t.Errorf("%s: %+v, %+v", use, p.Memory, g)
		}
		if p.Seconds.Total <= 0 {
			t.Errorf("%s: the run would take no time", use)
		}
	}
}

// Pretraining on GPUs does what it does on the processor.
func TestPretrainingOnGPUs(t *testing.T) {
	t.Parallel()
	train := func(m *fakeMachine) string {
		p, err := OpenPretraining(load(t, "pretrain-glyphs", append(tinyPretrain, "pretrain.micro_batch=1")...))
		if err != nil {
			t.Fatal(err)
		}
		if m != nil {
			p.Config.Device.Use = "gpu"
			if p.devices, err = openDevices(p.Config, m); err != nil {
				t.Fatal(err)
			}
		}
		dir := filepath.Join(t.TempDir(), "run")
		if err := Pretrain(t.Context(), p, Options{Dir: dir}, false); err != nil {
			t.Fatal(err)
		}
		return timeless(t, dir)
	}
	m := fakes(2)
	m.cards[0].only, m.cards[1].only = "gradient", "gradient"
	if got, want := train(m), train(nil); got != want {
		t.Errorf("figures are\n%s\non the processor\n%s", got, want)
	}
	if n := m.cards[0].runs.Load() + m.cards[1].runs.Load(); n != 3*4 { // steps, micro-batches
		t.Errorf("%d gradients on GPUs, want 12", n)
	}
}
