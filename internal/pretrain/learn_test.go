package pretrain

import (
	"context"
	"fmt"
	"math"
	"slices"
	"testing"

	"flowgrpo/internal/optim"
	"flowgrpo/internal/rng"
	"flowgrpo/policy"
	"flowgrpo/sde"
	"flowgrpo/task"
)

// spread is the standard deviation of a mode.
const spread = 0.3

// modes is a source of two captions: all values of the picture are near 1 for
// "high" and near -1 for "low".
type modes struct{}

func (modes) Example(key rng.Key, img task.Image) task.Prompt {
	r := key.Rand()
	level, text := float32(-1), "low"
	if r.IntN(2) == 1 {
		level, text = 1, "high"
	}
	for i := range img.Pix {
		img.Pix[i] = level + spread*float32(r.NormFloat64())
	}
	return task.Prompt{Text: text}
}

func settings() Settings {
	return Settings{
		Seed: 2, Batch: 64, MicroBatch: 16, Workers: 1, EMADecay: 0.98, TimeStd: 1,
		Optimizer: optim.Settings{
			LR: 5e-3, Beta1: 0.9, Beta2: 0.99, Eps: 1e-8, ClipNorm: 1, Schedule: optim.Cosine{Warmup: 20, Total: 500, Final: 0.05},
		},
	}
}

// newLearner returns a trainer of net with an encoder for the two captions.
func newLearner(net policy.Network, s Settings) *Trainer {
	shape := net.Shape()
	text := policy.NewTextEncoder(2, 4, shape.Pooled, policy.Vocabulary([]string{"low high"}))
	return NewTrainer(policy.NewModel(&policy.Captioned{Network: net, Text: text}, nil, 1), modes{}, s)
}

func tinyMLP() policy.Network { return &policy.MLP{Dim: 2, Hidden: 48, Layers: 2, PooledDim: 4} }

func tinyMMDiT() policy.Network {
	return &policy.MMDiT{
		SampleSize: 4, PatchSize: 2, InChannels: 1, OutChannels: 1, NumLayers: 1, HeadDim: 8, Heads: 1,
		JointAttentionDim: 4, CaptionDim: 8, PooledDim: 4, PosEmbedMaxSize: 2, Height: 4, Width: 4, Tokens: 2,
	}
}

// floor is the loss of the exact velocity. Given caption and x_t the picture is
// Gaussian, and so is v, with variance s²/((1-t)²s² + t²).
func floor(s Settings) float64 {
	const points = 2000
	total := 0.0
	for i := range points {
		z := math.Sqrt2 * math.Erfinv(2*(float64(i)+0.5)/points-1)
		t := 1 / (1 + math.Exp(-(s.TimeMean + s.TimeStd*z)))
		total += spread * spread / ((1-t)*(1-t)*spread*spread + t*t)
	}
	return total / points
}

// A small network learns the two modes: its loss reaches what the exact velocity
// has, and its samples have the modes' moments.
func TestPretrainLearns(t *testing.T) {
	t.Parallel()
	s := settings()
	tr := newLearner(tinyMLP(), s)
	const steps, last = 500, 100
	first, late := 0.0, 0.0
	for i := range steps {
		stats, err := tr.Step(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			first = stats.Loss
		}
		if i >= steps-last {
			late += stats.Loss / last
		}
	}
	// A fresh network is 0, so its loss is E(ε - x₀)² = 1 + 1 + s²; 128 coordinates.
	if want := 2 + spread*spread; math.Abs(first-want) > 0.5 {
		t.Errorf("loss begins at %.3f, want about %.3f", first, want)
	}
	const slack = 0.2 // of the floor: batches of 64 scatter by 0.03, the network is small
	if want := floor(s); late > (1+slack)*want || late < (1-slack)*want {
		t.Errorf("loss ends at %.3f, the exact velocity's is %.3f", late, want)
	}
	checkSamples(t, tr.Result())
}

func checkSamples(t *testing.T, m *policy.Model) {
	t.Helper()
	const n, tolerance = 300, 0.08 // 600 values of std 0.3: a mean scatters by 0.012
	r := m.NewReplica(m.Theta())
	for text, want := range map[string]float64{"low": -1, "high": 1} {
		x := make([]float32, 2*n)
		rng.Key{Seed: 5, Purpose: rng.EvalNoise}.Normals(x)
		cond := slices.Repeat([]policy.Condition{m.Text.Encode(text)}, n)
		err := sde.Euler{}.Integrate(x, sde.Uniform(30), func(dst, x []float32, time float64) error {
			return r.Velocity(context.Background(), dst, x, time, cond)
		})
		if err != nil {
			t.Fatal(err)
		}
		var mean, square float64
		for _, v := range x {
			mean += float64(v) / (2 * n)
			square += float64(v) * float64(v) / (2 * n)
		}
		if std := math.Sqrt(square - mean*mean); math.Abs(mean-want) > tolerance || math.Abs(std-spread) > tolerance {
			t.Errorf("%s: mean %.3f, std %.3f, want %.0f, %.1f", text, mean, std, want, spread)
		}
	}
}

// A run is a pure function of its settings: the same bits for any number of workers.
func TestPretrainIsInvariant(t *testing.T) {
	t.Parallel()
	for name, net := range map[string]func() policy.Network{"mlp": tinyMLP, "mmdit": tinyMMDiT} {
		s := settings()
		s.Batch, s.MicroBatch, s.Dropout = 10, 3, 0.3
		run := func(seed int64, workers int) (weights []float32, stats []Stats) {
			s.Seed, s.Workers = seed, workers
			tr := newLearner(net(), s)
			for range 4 {
				st, err := tr.Step(context.Background())
				if err != nil {
					t.Fatal(err)
				}
				stats = append(stats, st)
			}
			return slices.Concat(tr.Model.Weights.Data(), tr.EMA.Average.Base.Data()), stats
		}
		want, wantStats := run(2, 1)
		for _, workers := range []int{2, 3} {
			got, stats := run(2, workers)
			if !slices.Equal(got, want) || fmt.Sprint(stats) != fmt.Sprint(wantStats) {
				t.Errorf("%s: %d workers: another run", name, workers)
			}
		}
		if other, _ := run(3, 1); slices.Equal(other, want) {
			t.Errorf("%s: another seed is the same run", name)
		}
	}
}

// Dropout replaces captions at its rate.
func TestDropout(t *testing.T) {
	t.Parallel()
	s := settings()
	s.Batch, s.Dropout = 2000, 0.25
	tr := newLearner(tinyMLP(), s)
	empty := tr.Model.Network.(*policy.Captioned).Text.TokenCondition("")
	dropped := 0
	for _, c := range tr.draw(0, s.Batch).Cond {
		if slices.Equal(c.Hidden, empty.Hidden) {
			dropped++
		}
	}
	// Binomial: the standard deviation is 19.
	if math.Abs(float64(dropped)-500) > 80 {
		t.Errorf("%d of 2000 captions dropped, want about 500", dropped)
	}
}
