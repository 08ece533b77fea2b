package grpo

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"runtime"
	"slices"
	"testing"

	"flowgrpo/internal/kernel"
	"flowgrpo/internal/longtest"
)

// A long run is the same, bit for bit, for every combination of workers, rollout batch,
// GOMAXPROCS and instruction set of the machine. It takes a minute.
func TestTrainerIsInvariantEverywhere(t *testing.T) {
	longtest.Only(t)
	const iterations = 20
	for name, build := range map[string]func() options{"full": fullRun, "lora": loraRun, "split": splitRun} {
		t.Run(name, func(t *testing.T) {
			want := ""
			everywhere(func(place string, workers, batch int) {
				o := build()
				o.workers, o.batch = workers, batch
				got := digest(t, runTiny(t, newTrainer(o), iterations))
				if want == "" {
					want = got
				}
				if got != want {
					t.Errorf("%s: SHA-256 %s, at first %s", place, got, want)
				}
			})
			t.Logf("SHA-256 of metrics, weights and average: %s", want)
		})
	}
}

// everywhere calls visit under every level of the machine and several GOMAXPROCS, for
// several numbers of workers and rollout batches.
func everywhere(visit func(place string, workers, batch int)) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	defer kernel.SetLevel(kernel.Current())
	for level := kernel.Portable; level <= kernel.Best(); level++ {
		kernel.SetLevel(level)
		for _, procs := range []int{1, 2} {
			runtime.GOMAXPROCS(procs)
			for _, workers := range []int{1, 2, 3, 8} {
				for _, batch := range []int{1, 7, 64} {
					visit(fmt.Sprintf("%v, GOMAXPROCS %d, workers %d, batch %d", level, procs, workers, batch), workers, batch)
				}
			}
		}
	}
}

// digest returns the SHA-256 of an outcome: of its metrics as text, in which floats have all
// digits that tell them apart, and of the bits of the weights.
func digest(t *testing.T, o outcome) string {
	t.Helper()
	h := sha256.New()
	fmt.Fprintf(h, "%+v\n", o.stats)
	for _, x := range [][]float32{o.weights, o.average} {
		if err := binary.Write(h, binary.LittleEndian, x); err != nil {
			t.Fatal(err)
		}
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

// A micro-batch that is filled up to a power of two has the terms and the gradient, bit for
// bit, of one that is not.
func TestFilledMicroBatch(t *testing.T) {
	t.Parallel()
	const records, rows = 5, 8
	for _, loss := range []Loss{
		{Ratio: Mean{}, Weight: Unweighted{}, KL: ExactKL{}},
		{Ratio: Guard{}, Weight: BySensitivity{}, KL: ExactKL{}, KLCoef: 2},
		{Ratio: Guard{}, Weight: BySensitivity{}, KL: ExactKL{}, KLCoef: 2, AnchorCoef: 5},
	} {
		loss.ClipRange = testClip
		p := newProblem(t, loss, regimes[1])
		p.records = p.records[:records-len(p.anchors)]
		want, wantGrad := p.microBatch(t, records)
		got, grad := p.microBatch(t, rows)
		if n := p.tr.rows(records); n != rows || !slices.ContainsFunc(wantGrad, func(g float32) bool { return g != 0 }) {
			t.Fatalf("%d records are filled up to %d rows, want %d; or there is no gradient", records, n, rows)
		}
		if got != want {
			t.Errorf("%T, KL %g, anchors %g: filled up, the terms are\n%s\nnot\n%s", loss.Ratio, loss.KLCoef, loss.AnchorCoef, got, want)
		}
		if !sameBits(grad, wantGrad) {
			t.Errorf("%T, KL %g, anchors %g: filled up, the gradient is another", loss.Ratio, loss.KLCoef, loss.AnchorCoef)
		}
	}
}

// microBatch returns the terms, as text like [digest], and the gradient of p with micro-batches of
// that many rows.
func (p *problem) microBatch(t *testing.T, rows int) (string, []float32) {
	t.Helper()
	p.tr.MicroBatch = rows
	terms, held := p.gradient(t)
	return fmt.Sprintf("%+v %+v", terms, held), slices.Clone(p.tr.grad)
}
