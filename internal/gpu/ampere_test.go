//go:build gpu

package gpu

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"flowgrpo/internal/graph"
)

// On Hopper most products and attention of bfloat16 have kernels of their own, and so they have
// on the driver of fake/. Here those run that all other GPUs use.

// withoutHopper returns a device that takes itself for an older one.
var withoutHopper = sync.OnceValues(func() (*Device, error) {
	d, err := Open(0, BFloat16)
	if err == nil {
		d.hopper = false
	}
	return d, err
})

// useAmpere makes t use such a device.
func useAmpere(t *testing.T) {
	t.Helper()
	before := devices[BFloat16]
	devices[BFloat16] = withoutHopper
	t.Cleanup(func() { devices[BFloat16] = before })
	testQueue(t, BFloat16) // skips t where there is no GPU
}

// checkLoaded fails unless kernels with these in their names have run, and none for Hopper.
func checkLoaded(t *testing.T, wanted ...string) {
	t.Helper()
	d, err := withoutHopper()
	check(t, err)
	var names []string
	for name := range d.kernels.loaded {
		names = append(names, name)
		if strings.Contains(images()[name].declarations, "sm_90a") {
			t.Errorf("%s has run", name)
		}
	}
	all := strings.Join(names, " ")
	for _, w := range wanted {
		if !strings.Contains(all, w) {
			t.Errorf("no kernel %s has run", w)
		}
	}
}

// regularShapes returns the shapes of products all of whose kernels are others on Hopper.
func regularShapes() [][5]int {
	var regular [][5]int
	for _, s := range productShapes {
		if s[2]%8 == 0 && s[3]%8 == 0 && s[4]%8 == 0 {
			regular = append(regular, s)
		}
	}
	return regular
}

func TestLinearOnAmpere(t *testing.T) {
	useAmpere(t)
	runCases(t, linearCases(regularShapes()), BFloat16)
	checkLinearIsInvariant(t, BFloat16, regularShapes())
	checkLoaded(t, "gemm_mma_row_row_64_bf16", "gemm_mma_row_col_64_bf16", "gemm_mma_col_col_64_bf16")
}

func TestAttentionOnAmpere(t *testing.T) {
	useAmpere(t)
	var cases []testCase
	for _, s := range attentionShapes {
		if s[2] != 64 && s[2] != 128 {
			continue
		}
		var shapes [][]int
		for i := range 3 * len(s[3:]) {
			shapes = append(shapes, []int{s[0], s[3+i/3], s[1] * s[2]})
		}
		cases = append(cases, testCase{name: fmt.Sprintf("attention %v", s), shapes: shapes, build: joined(s[1])})
		if len(s) == 4 {
			x := []int{0, s[3], s[1] * s[2]}
			checkInvariance(t, BFloat16, [][]int{x, x, x}, []int{0, 1, 2}, func(in []graph.Node) graph.Node {
				return graph.Attention(s[1], in...)[0]
			})
		}
	}
	runCases(t, cases, BFloat16)
	checkLoaded(t, "attention_64_mma", "attention_128_mma", "attention_statistics_64_mma", "attention_statistics_128_mma",
		"attention_grad_q_64_mma", "attention_grad_q_128_mma", "attention_grad_kv_64_mma", "attention_grad_kv_128_mma")
}
