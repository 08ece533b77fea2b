// Package lru keeps values that were asked for lately.
package lru

import (
	"container/list"
	"sync"
)

// A Cache holds a bounded number of values by key. When it is full, the value that was not
// asked for the longest makes room. Safe for concurrent use.
type Cache[K comparable, V any] struct {
	size int

	mu    sync.Mutex
	at    map[K]*list.Element
	order list.List // of entries, the latest first
}

type entry[K comparable, V any] struct {
	key   K
	value V
}

// New returns an empty cache for size values. It panics if size is below 1.
func New[K comparable, V any](size int) *Cache[K, V] {
	if size < 1 {
		panic("lru: a cache must have room")
	}
	return &Cache[K, V]{size: size, at: map[K]*list.Element{}}
}

// Get returns the value of key, and whether there is one.
func (c *Cache[K, V]) Get(key K) (value V, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.at[key]
	if !ok {
		return value, false
	}
	c.order.MoveToFront(e)
	return e.Value.(entry[K, V]).value, true
}

// Put makes value that of key.
func (c *Cache[K, V]) Put(key K, value V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.at[key]; ok {
		e.Value = entry[K, V]{key, value}
		c.order.MoveToFront(e)
		return
	}
	if c.order.Len() == c.size {
		last := c.order.Back()
		delete(c.at, last.Value.(entry[K, V]).key)
		c.order.Remove(last)
	}
	c.at[key] = c.order.PushFront(entry[K, V]{key, value})
}
