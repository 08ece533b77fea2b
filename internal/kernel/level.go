package kernel

import (
	"fmt"
	"slices"
	"strings"
)

// Level is an instruction set that the kernels can use.
type Level int

// The levels, each a superset of those before it.
const (
	Portable Level = iota // Go only
	AVX2                  // x86-64 with AVX2 and FMA3
	AVX512                // x86-64 with AVX-512 F, BW, DQ and VL
)

// String returns the name of the level.
func (l Level) String() string {
	return [...]string{"portable", "AVX2", "AVX-512"}[l]
}

// levelWords are what users call the levels.
var levelWords = []string{"portable", "avx2", "avx512"}

// ParseLevel returns the level that users call word, in either case and with or without
// the hyphen of AVX-512. A level that this machine does not have is an error, too.
func ParseLevel(word string) (Level, error) {
	l := Level(slices.Index(levelWords, strings.ToLower(strings.ReplaceAll(word, "-", ""))))
	switch {
	case l < 0:
		return 0, fmt.Errorf("unknown instruction set %q, want one of %s", word, strings.Join(levelWords, ", "))
	case l > supported:
		return 0, fmt.Errorf("this processor does not have %v; its best is %v", l, supported)
	}
	return l, nil
}

// level is the one in use.
var level = supported

// Current returns the level in use, by default the best that the machine has.
func Current() Level { return level }

// Best returns the best level of the machine.
func Best() Level { return supported }

// SetLevel makes the kernels use l, or the best level of the machine if that
// is lower, and returns the level in use before. Results do not depend on the
// level. SetLevel must not run while kernels do.
func SetLevel(l Level) (old Level) {
	old, level = level, min(l, supported)
	return old
}
