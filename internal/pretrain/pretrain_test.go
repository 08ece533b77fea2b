package pretrain

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"flowgrpo/internal/optim"
	"flowgrpo/internal/rng"
	"flowgrpo/policy"
	"flowgrpo/task"
)

// noise is a source of pictures that are nothing but noise.
type noise struct{}

func (noise) Example(key rng.Key, img task.Image) task.Prompt {
	key.Normals(img.Pix)
	return task.Prompt{Text: "noise"}
}

func newTrainer(seed int64, microBatch, workers int) *Trainer {
	text := policy.NewTextEncoder(4, 3, 3, policy.Vocabulary([]string{"noise"}))
	net := &policy.Captioned{Network: &policy.MLP{Dim: 3, Hidden: 8, Layers: 2, PooledDim: 3}, Text: text}
	return NewTrainer(policy.NewModel(net, nil, seed), noise{}, Settings{
		Seed: seed, Batch: 7, MicroBatch: microBatch, Workers: workers, EMADecay: 0.9, TimeStd: 1, Dropout: 0.3,
		Optimizer: optim.Settings{LR: 1e-2, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, Schedule: optim.Constant{}},
	})
}

// TestMicroBatch: how a batch of 7 is cut changes nothing but rounding, also where
// the last piece is short.
func TestMicroBatch(t *testing.T) {
	whole := newTrainer(1, 7, 1)
	want, err := whole.Step(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{1, 2, 3, 4, 5, 6} {
		tr := newTrainer(1, size, 1)
		got, err := tr.Step(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(got.Loss-want.Loss) > 1e-6*want.Loss {
			t.Errorf("micro-batches of %d: loss %v, want %v", size, got.Loss, want.Loss)
		}
		for i, g := range tr.grad {
			if w := whole.grad[i]; math.Abs(float64(g-w)) > 1e-6 {
				t.Fatalf("micro-batches of %d: gradient %d is %v, want %v", size, i, g, w)
			}
		}
	}
}

// TestWorkers: the weights after some steps have the same bits for any number of
// workers.
func TestWorkers(t *testing.T) {
	run := func(workers int) []float32 {
		tr := newTrainer(2, 2, workers)
		for range 5 {
			if _, err := tr.Step(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		return tr.EMA.Average.Trainable()
	}
	want := run(1)
	for _, workers := range []int{2, 3, 8} {
		for i, v := range run(workers) {
			if math.Float32bits(v) != math.Float32bits(want[i]) {
				t.Fatalf("%d workers: weight %d is %v, want %v", workers, i, v, want[i])
			}
		}
	}
}

// TestTimeIsLogitNormal compares mean and standard deviation of the logit of t with
// the settings; 20,000 draws leave an error of about 0.01.
func TestTimeIsLogitNormal(t *testing.T) {
	tr := newTrainer(3, 7, 1)
	tr.settings.TimeMean, tr.settings.TimeStd = 0.4, 1.5
	const n = 20000
	var sum, squares float64
	for i := range n {
		x := tr.time(rng.Key{Seed: 3, Purpose: rng.PretrainTime, Sample: uint32(i)})
		logit := math.Log(x / (1 - x))
		sum += logit
		squares += logit * logit
	}
	mean := sum / n
	if std := math.Sqrt(squares/n - mean*mean); math.Abs(mean-0.4) > 0.04 || math.Abs(std-1.5) > 0.04 {
		t.Errorf("logit of t has mean %.3f and standard deviation %.3f, want 0.4 and 1.5", mean, std)
	}
}

// A number that is not finite ends a step before anything changes; the error names the
// parameter.
func TestNonFiniteStep(t *testing.T) {
	tr := newTrainer(1, 2, 1)
	w := tr.Model.Weights
	last := w.TrainableParameters()[len(w.TrainableParameters())-1]
	w.Tensor(last.Name)[0] = float32(math.Inf(1))
	before, average := slices.Clone(w.Data()), slices.Clone(tr.EMA.Average.Trainable())
	_, err := tr.Step(t.Context())
	var e *optim.NonFiniteError
	if !errors.As(err, &e) || !strings.Contains(err.Error(), `pretrain: step 0: parameter "`) {
		t.Errorf("error %v", err)
	}
	if !slices.Equal(before, w.Data()) || !slices.Equal(average, tr.EMA.Average.Trainable()) || tr.adam.Updates != 0 {
		t.Error("something has changed")
	}
}
