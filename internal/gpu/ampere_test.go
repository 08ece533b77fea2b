//go:build gpu

package gpu

import (
	"slices"
	"strings"
	"sync"
	"testing"
)

// On Hopper most products and attention of bfloat16 have kernels of their own, and so they have
// on the driver of fake/. Here those run that all other GPUs use.

// withoutHopper returns a device that takes itself for an older one.
var withoutHopper = sync.OnceValues(func() (*Device, error) {
	d, err := Open(0, Options{Precision: BFloat16})
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
	onHopper := slices.DeleteFunc(slices.Clone(attentionShapes), func(s []int) bool { return s[2] != 64 && s[2] != 128 })
	runCases(t, attentionCases(onHopper), BFloat16)
	checkAttentionIsInvariant(t, BFloat16, onHopper)
	checkLoaded(t, "attention_64_mma", "attention_128_mma", "attention_statistics_64_mma", "attention_statistics_128_mma",
		"attention_grad_q_64_mma", "attention_grad_q_128_mma", "attention_grad_kv_64_mma", "attention_grad_kv_128_mma")
}
