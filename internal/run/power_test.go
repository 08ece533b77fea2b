package run

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path"
	"slices"

	"github.com/google/go-cmp/cmp"

	"flowgrpo/eval"
	"flowgrpo/internal/crashfs"
	"flowgrpo/internal/disk"
	"flowgrpo/policy"
)

// crashParams are parameters whose checkpoints have files of several blocks.
var crashParams = []policy.Parameter{{Name: "a", Shape: []int{20, 10}}, {Name: "b", Shape: []int{17}}}

// A power is a simulated machine: lives of a program that resumes, saves and prunes,
// each ended by a kill or a power cut, and a look at what power cuts would have left at
// every operation on the way.
type power struct {
	random  *rand.Rand
	around  func(*crashfs.FS) disk.FS // what the program sees of the disk
	samples int                       // states to look at per operation

	disk    *crashfs.FS
	acked   mark // the latest checkpoint whose save has returned
	attempt int  // tells checkpoints of one iteration apart
	looked  int  // states
	wrong   []string
}

// A mark identifies a checkpoint: of two of one iteration, the later attempt counts.
type mark struct{ iteration, attempt int }

func (m mark) before(o mark) bool {
	return m.iteration < o.iteration || m.iteration == o.iteration && m.attempt < o.attempt
}

// errKilled ends a life.
var errKilled = errors.New("killed")

// run simulates lives until so many states have been looked at, or one is wrong.
func (p *power) run(states int) {
	for p.looked < states && len(p.wrong) == 0 {
		p.disk, p.acked = crashfs.New(), mark{}
		for range 6 {
			p.live(1 + p.random.IntN([]int{4, 20, 60}[p.random.IntN(3)])) // of few operations, and of several saves
			if p.random.IntN(2) == 0 {
				p.disk = p.disk.Crash(p.random.IntN)
			} else {
				p.disk = p.disk.Clone()
			}
		}
	}
}

// live is one life of the program: it is killed before the operation number last that
// changes the disk.
func (p *power) live(last int) {
	ops := 0
	p.disk.Before = func(op crashfs.Op) error {
		if op.Kind == "open" || op.Kind == "read" {
			return nil // these leave the disk as it is
		}
		p.look(op)
		if ops++; ops == last {
			panic(errKilled)
		}
		return nil
	}
	defer func() {
		if r := recover(); r != nil && r != errKilled {
			panic(r)
		}
	}()
	folder := p.around(p.disk)
	c, _, err := loadNewest(folder, crashParams)
	if err != nil {
		p.fault("resume: %v", err)
		return
	}
	at := 0
	if c != nil {
		at = c.State.Iteration
	}
	if at == 0 || p.random.IntN(2) == 0 {
		at++
	} // else the program is stopped at once, and saves what it has loaded
	for ; ; at++ {
		p.attempt++
		if err := numberedOf(crashParams, at, p.attempt).save(folder, crashParams); err != nil {
			p.fault("save: %v", err)
			return
		}
		p.acked = mark{at, p.attempt}
		if err := prune(folder, at, p.random.IntN(at)); err != nil {
			p.fault("prune: %v", err)
			return
		}
	}
}

// look draws different states that a power cut before op may leave, and checks each, and
// one that a second power cut may leave of it while the program resumes.
func (p *power) look(op crashfs.Op) {
	seen := map[string]bool{}
	for range p.samples {
		var choices []byte
		state := p.disk.Crash(func(n int) int {
			c := p.random.IntN(n)
			choices = binary.AppendUvarint(choices, uint64(c))
			return c
		})
		if seen[string(choices)] {
			continue
		}
		seen[string(choices)] = true
		second := p.random.IntN(40)
		state.Before = func(inner crashfs.Op) error {
			if second--; second == 0 {
				p.check(state.Crash(p.random.IntN), "second cut before "+inner.Kind+" "+inner.Name+", after one before "+op.Kind+" "+op.Name)
			}
			return nil
		}
		p.check(state, "cut before "+op.Kind+" "+op.Name)
	}
}

// check resumes from a state that a power cut has left.
func (p *power) check(state *crashfs.FS, when string) {
	if p.looked++; len(p.wrong) > 0 {
		return
	}
	c, said, err := loadNewest(state, crashParams)
	switch {
	case err != nil:
		p.fault("%s: %v", when, err)
		return
	case len(said) > 0:
		p.fault("%s: damaged: %q", when, said)
	case c == nil && p.acked != mark{}:
		p.fault("%s: no checkpoint, %v was acknowledged", when, p.acked)
	}
	if c == nil {
		return
	}
	got := mark{c.State.Iteration, c.State.Samples}
	if got.before(p.acked) {
		p.fault("%s: %v, %v was acknowledged", when, got, p.acked)
	}
	if !same(c, numberedOf(crashParams, got.iteration, got.attempt)) {
		p.fault("%s: %v is not what was saved", when, got)
	}
	entries, err := fs.ReadDir(state, checkpointsDir)
	if err != nil {
		p.fault("%s: %v", when, err)
	}
	for _, e := range entries {
		if _, err := verify(state, path.Join(checkpointsDir, e.Name())); err != nil {
			p.fault("%s: in view: %v", when, err)
		}
	}
}

// same reports whether two checkpoints are equal.
func same(a, b *checkpoint) bool {
	return slices.Equal(a.Weights, b.Weights) && slices.Equal(a.Average, b.Average) && slices.Equal(a.M, b.M) && slices.Equal(a.V, b.V) &&
		cmp.Equal(a.State, b.State, cmp.Comparer(eval.Number.Equal))
}

func (p *power) fault(format string, args ...any) {
	p.wrong = append(p.wrong, fmt.Sprintf(format, args...))
}
