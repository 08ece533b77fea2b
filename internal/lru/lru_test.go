package lru

import (
	"slices"
	"sync"
	"testing"

	"flowgrpo/internal/rng"
)

// A cache behaves like a list of the keys by how lately they were asked for.
func TestCacheIsLeastRecentlyUsed(t *testing.T) {
	t.Parallel()
	const size = 5
	c, r := New[int, int](size), rng.Key{Seed: 1}.Rand()
	var recent []int // keys, the latest last
	values := map[int]int{}
	for i := range 10000 {
		key := r.IntN(2 * size)
		held := slices.Contains(recent, key)
		if r.IntN(2) == 0 {
			c.Put(key, i)
			values[key] = i
		} else if v, ok := c.Get(key); ok != held || ok && v != values[key] {
			t.Fatalf("step %d: key %d: %d, %t; want %d, %t", i, key, v, ok, values[key], held)
		} else if !ok {
			continue
		}
		recent = append(slices.DeleteFunc(recent, func(k int) bool { return k == key }), key)
		recent = recent[max(0, len(recent)-size):]
	}
	if len(c.at) != size || c.order.Len() != size {
		t.Errorf("%d and %d values, want %d", len(c.at), c.order.Len(), size)
	}
}

func TestCacheIsSafe(t *testing.T) {
	t.Parallel()
	c := New[int, int](3)
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 1000 {
				c.Put(i%7, i%7*10)
				if v, ok := c.Get((i + w) % 7); ok && v != (i+w)%7*10 {
					t.Errorf("key %d has the value %d", (i+w)%7, v)
				}
			}
		})
	}
	wg.Wait()
}
