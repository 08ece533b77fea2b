package clip

import (
	"context"
	"fmt"
	"math/bits"
	"slices"

	"github.com/sourcegraph/conc/iter"

	"flowgrpo/internal/graph"
)

// A worker runs towers on one thread. Its programs, which are compiled on first use, share
// their memory.
type worker struct {
	arena    *graph.Arena
	programs map[programKey]*program
}

type programKey struct {
	tower *tower
	batch int
}

// A program is a tower for a batch with its inputs.
type program struct {
	*graph.Program
	data []float32 // [B, …]
	pick []float32 // [B]
}

func newWorkers(n int) chan *worker {
	workers := make(chan *worker, n)
	for range n {
		workers <- &worker{&graph.Arena{}, map[programKey]*program{}}
	}
	return workers
}

// A part is the samples [lo, hi) of a call.
type part struct{ lo, hi int }

// batchRows bounds the rows of tokens of a batch: enough to use the matrices of layers well,
// few enough for what lies between two layers to stay in the cache.
const batchRows = 600

// split deals n samples of a tower to batches of few sizes, powers of two, at least two for
// each worker where there are so many samples.
func (t *tower) split(n, workers int) []part {
	most := max(1, min(batchRows/t.tokens, n/(2*workers)))
	var parts []part
	for lo := 0; lo < n; {
		size := 1 << (bits.Len(uint(min(most, n-lo))) - 1)
		parts = append(parts, part{lo, lo + size})
		lo += size
	}
	return parts
}

// embed returns the embeddings of samples 0 to n. fill stores the input of sample i in row,
// which is zero at first and holds what was last stored there later, and returns the token
// that the sample is embedded as.
func (m *Model) embed(ctx context.Context, t *tower, n int, fill func(i int, row []float32) int) ([][]float32, error) {
	out := make([][]float32, n)
	each := iter.Iterator[part]{MaxGoroutines: cap(m.workers)}
	each.ForEach(t.split(n, cap(m.workers)), func(s *part) {
		if ctx.Err() != nil {
			return
		}
		w := <-m.workers
		defer func() { m.workers <- w }()
		w.run(m.weights, t, *s, fill, out[s.lo:s.hi])
	})
	if err := context.Cause(ctx); err != nil {
		return nil, fmt.Errorf("clip: %w", err)
	}
	return out, nil
}

// run stores the embeddings of the samples of s in out.
func (w *worker) run(weights *weights, t *tower, s part, fill func(i int, row []float32) int, out [][]float32) {
	batch := s.hi - s.lo
	p := w.program(weights, t, batch)
	width := len(p.data) / batch
	for i := range batch {
		p.pick[i] = float32(i*t.tokens + fill(s.lo+i, p.data[i*width:(i+1)*width]))
	}
	p.Run()
	embedded := p.Output(0).F32
	for i := range out {
		out[i] = slices.Clone(embedded[i*t.embedding : (i+1)*t.embedding])
	}
}

// program returns the program of t for a batch.
func (w *worker) program(weights *weights, t *tower, batch int) *program {
	key := programKey{t, batch}
	if p, ok := w.programs[key]; ok {
		return p
	}
	b := &builder{graph.New()}
	compiled, err := graph.Compile(t.build(b, batch))
	if err != nil {
		panic(fmt.Sprintf("clip: %v", err)) // of ops that this package chose
	}
	p := &program{compiled, make([]float32, batch*t.inputs), make([]float32, batch)}
	p.Share(w.arena)
	weights.bind(p.Program)
	p.Bind(inputData, p.data)
	p.Bind(inputPick, p.pick)
	w.programs[key] = p
	return p
}
