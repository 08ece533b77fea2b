// Package rng draws random numbers that have an address instead of a history.
//
// A [Key] names a stream by what it is for: the seed of the run, a [Purpose], the
// iteration, prompt, sample and step. Element i of a stream is a pure function of
// (key, i), so a number never depends on who drew what before: any number of
// workers, any batch size, a resumed run and another device all draw the same bits.
//
// The generator is Philox4x32-10 (see philox). Two blocks make the address:
//
//	h = Philox(seed, {iteration, prompt, sample, step})
//	block b of the stream = Philox({h0, h1}, {b, purpose, h2, h3})
//
// Within one seed the first map is a bijection, so no two keys ever share a block.
// Normals use only correctly rounded float64 operations in a fixed order, without
// fused multiply-add, so their bits are the same on every GOARCH.
package rng

import "math/rand/v2"

// A Purpose separates the streams of unrelated consumers. The values are part of
// every published result: append new ones, never reorder.
type Purpose uint32

// What random numbers are drawn for.
const (
	InitNoise     Purpose = iota + 1 // x_1 of a rollout
	StepNoise                        // the noise of one SDE step
	Prompts                          // which prompts an iteration trains on
	Window                           // which steps of a rollout are noisy
	Render                           // the style of a rendered picture
	Shuffle                          // the order of samples within an update
	PretrainTime                     // t of a flow-matching example
	PretrainNoise                    // eps of a flow-matching example
	Params                           // initial weights
	Bootstrap                        // resampling of confidence intervals
	EvalNoise                        // x_1 of an evaluation
	Dropout                          // captions dropped in pretraining
	Data                             // which examples a batch holds
)

// A Key is the address of a stream. Fields that mean nothing for a purpose stay 0.
// Keys are comparable; equal keys are equal streams.
type Key struct {
	Seed                            int64
	Purpose                         Purpose
	Iteration, Prompt, Sample, Step uint32
}

// stream is a key after its first Philox block, ready to be counted through.
type stream struct{ k0, k1, c1, c2, c3 uint32 }

func (k Key) stream() stream {
	s := uint64(k.Seed)
	h0, h1, h2, h3 := philox(uint32(s), uint32(s>>32), k.Iteration, k.Prompt, k.Sample, k.Step)
	return stream{h0, h1, uint32(k.Purpose), h2, h3}
}

// block returns block b of the stream.
func (s stream) block(b uint32) (uint32, uint32, uint32, uint32) {
	return philox(s.k0, s.k1, b, s.c1, s.c2, s.c3)
}

// Uniforms fills dst with uniform numbers in [0, 1), multiples of 2⁻⁵³.
// Element i is made of words 2i and 2i+1 of the stream.
func (k Key) Uniforms(dst []float64) {
	s := k.stream()
	for i := 0; i < len(dst); i += 2 {
		a, b, c, d := s.block(uint32(i / 2))
		dst[i] = unit(word64(a, b))
		if i+1 < len(dst) {
			dst[i+1] = unit(word64(c, d))
		}
	}
}

// Rand returns a generator that starts at the beginning of the stream, for
// shuffles and choices. It draws the same words as Uniforms and Normals, so a key
// serves one of the three. Not safe for concurrent use; take one Rand per key and goroutine.
func (k Key) Rand() *rand.Rand { return rand.New(&source{stream: k.stream()}) }

// source counts through a stream, one uint64 per two words.
type source struct {
	stream
	next uint64 // index of the next uint64
	high uint64 // second half of the current block
}

// Uint64 implements rand.Source.
func (s *source) Uint64() uint64 {
	i := s.next
	s.next++
	if i%2 == 1 {
		return s.high
	}
	a, b, c, d := s.block(uint32(i / 2))
	s.high = word64(c, d)
	return word64(a, b)
}

func word64(hi, lo uint32) uint64 { return uint64(hi)<<32 | uint64(lo) }

func unit(w uint64) float64 { return float64(w>>11) * 0x1p-53 }
