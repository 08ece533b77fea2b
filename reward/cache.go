package reward

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"math"
	"sync/atomic"

	"flowgrpo/internal/lru"
)

// A Cached reward keeps the results of samples that come again, such as those of evaluations
// that share pictures. They are found by content: picture, shape and prompt. Failures are
// not kept.
type Cached struct {
	checked
	kept         *lru.Cache[[sha256.Size]byte, Result]
	asked, found atomic.Int64
}

// NewCached returns r, [Checked], with a memory of size results. It panics unless r is
// deterministic and judges single samples: other results cannot be kept ([Keepable]).
func NewCached(r Reward, size int) *Cached {
	if !Keepable(r) {
		panic("reward: results that may change, or that depend on a group, cannot be kept")
	}
	return &Cached{checked: checkedOf(Checked(r)), kept: lru.New[[sha256.Size]byte, Result](size)}
}

// Keepable reports whether the results of r, as it says itself, depend on nothing but the
// sample.
func Keepable(r Reward) bool {
	info := InfoOf(r)
	return info.Deterministic && !info.Groupwise
}

// Found returns how many samples there were so far, and of how many the result was known.
func (c *Cached) Found() (asked, found int) { return int(c.asked.Load()), int(c.found.Load()) }

// Score implements [Reward]. It asks for what is not known, in one call. Parts of results
// are shared between calls and must not be changed.
func (c *Cached) Score(ctx context.Context, batch []Sample) ([]Result, error) {
	if err := c.done(ctx); err != nil {
		return nil, err
	}
	out, keys := make([]Result, len(batch)), make([][sha256.Size]byte, len(batch))
	var missing []Sample
	var at []int
	for i, s := range batch {
		known := false
		keys[i] = contentOf(s)
		if out[i], known = c.kept.Get(keys[i]); !known {
			missing, at = append(missing, s), append(at, i)
		}
	}
	c.asked.Add(int64(len(batch)))
	c.found.Add(int64(len(batch) - len(missing)))
	if len(missing) == 0 {
		return out, nil
	}
	results, err := c.Reward.Score(ctx, missing)
	if err != nil {
		return nil, err
	}
	for k, i := range at {
		if out[i] = results[k]; results[k].Err == nil {
			c.kept.Put(keys[i], results[k])
		}
	}
	readdress(c.Name(), batch, out)
	return out, nil
}

// contentOf returns a hash of all that a reward may look at.
func contentOf(s Sample) (sum [sha256.Size]byte) {
	h := sha256.New()
	number(h, uint64(s.Prompt.ID))
	for _, text := range [][]byte{[]byte(s.Prompt.Text), []byte(s.Prompt.Category), s.Prompt.Metadata} {
		number(h, uint64(len(text)))
		h.Write(text)
	}
	for _, n := range []int{s.Image.C, s.Image.H, s.Image.W} {
		number(h, uint64(n))
	}
	pixels := make([]byte, 0, 4*len(s.Image.Pix))
	for _, v := range s.Image.Pix {
		pixels = binary.LittleEndian.AppendUint32(pixels, math.Float32bits(v))
	}
	h.Write(pixels)
	h.Sum(sum[:0])
	return sum
}

func number(h hash.Hash, n uint64) {
	h.Write(binary.LittleEndian.AppendUint64(nil, n))
}
