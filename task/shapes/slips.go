package shapes

import (
	"math/rand/v2"

	"flowgrpo/internal/rng"
	"flowgrpo/task"
)

// witness draws the examples of a world with slips in their captions.
type witness struct {
	world *World
	rate  float64
}

var _ task.Miscaptioner = (*World)(nil)

// Miscaption implements [task.Miscaptioner]: each class, colour, number and place that
// a caption names is another one than the picture's with probability rate. It panics
// if rate is not in [0, 1).
func (w *World) Miscaption(rate float64) task.Source {
	if !(rate >= 0 && rate < 1) {
		panic("shapes: rate of slips must be in [0, 1)")
	}
	return witness{w, rate}
}

// Example implements [task.Source].
func (s witness) Example(key rng.Key, img task.Image) task.Prompt {
	r := key.Rand()
	pool := s.world.corpus[r.IntN(int(tasks))]
	told := &pool[r.IntN(len(pool))]
	seen := slip(told, s.rate, r)
	paint(img, compose(r, &seen), r)
	return told.prompt
}

// slip returns what a picture shows whose caption is q's.
func slip(q *request, rate float64, r *rand.Rand) request {
	seen := request{tag: q.tag}
	other := func(value, n int) int {
		if r.Float64() >= rate {
			return value
		}
		return (value + 1 + r.IntN(n-1)) % n
	}
	for _, w := range q.want {
		w.class = class(other(int(w.class), int(numClasses)))
		if w.hue != anyHue {
			w.hue = hue(other(int(w.hue), int(numHues)))
		}
		if q.tag == counting {
			w.count = 1 + other(w.count-1, maxObjects)
		}
		if w.relation >= 0 {
			w.relation = other(w.relation, len(relations))
		}
		seen.want = append(seen.want, w)
	}
	return seen
}
