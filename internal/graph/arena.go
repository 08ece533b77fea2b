package graph

import "flowgrpo/internal/kernel"

// An Arena is the memory that programs compute in. Programs that never run at the same time
// may share one: what one has left there does not matter to the next. It grows to what the
// largest of them needs. The zero value is empty.
type Arena struct {
	f32, scratch []float32
	f64          []float64
	version      int // counts moves, from 1
}

// grow makes room.
func (a *Arena) grow(size32, size64, scratch int) {
	if a.version == 0 || len(a.f32) < size32 || len(a.f64) < size64 {
		size32, size64 = max(size32, len(a.f32)), max(size64, len(a.f64))
		a.f32, a.f64 = nil, nil // the old ones are free while the new ones are made
		a.f32, a.f64 = kernel.Make(size32), make([]float64, size64)
		a.version++
	}
	if len(a.scratch) < scratch {
		a.scratch = make([]float32, scratch)
	}
}
