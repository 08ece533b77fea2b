//go:build gpu

package gpu

import (
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sourcegraph/conc/iter"

	"flowgrpo/internal/rng"
	"flowgrpo/policy"
)

// The network of Stable Diffusion 3.5 Medium at 512 pixels, with weights that follow from
// their names as contrib/peer/gpu/weights.py says, so that PyTorch has the same.

const (
	peerRank, peerAlpha = 32, 64
	peerGuidance        = 4.5
)

var peerTargets = []string{
	"attn.to_q", "attn.to_k", "attn.to_v", "attn.to_out.0",
	"attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj", "attn.to_add_out",
}

func mediumNetwork() *policy.MMDiT {
	dual := make([]int, 13)
	for i := range dual {
		dual[i] = i
	}
	return &policy.MMDiT{
		SampleSize: 128, PatchSize: 2, InChannels: 16, OutChannels: 16, NumLayers: 24, HeadDim: 64, Heads: 24,
		JointAttentionDim: 4096, CaptionDim: 1536, PooledDim: 2048, PosEmbedMaxSize: 384, DualAttentionLayers: dual, QKNorm: "rms_norm",
		Height: 64, Width: 64, Tokens: 333,
	}
}

// medium is made once: it takes 10 GB.
var medium = sync.OnceValue(func() *policy.Model { return peerModel(mediumNetwork()) })

// peerModel returns the model with weights by name, and its adapter.
func peerModel(net *policy.MMDiT) *policy.Model {
	params := net.Parameters()
	m := &policy.Model{Network: net, Weights: policy.NewWeights(params)}
	m.LoRA = &policy.LoRA{Rank: peerRank, Alpha: peerAlpha, Targets: peerTargets}
	m.Adapter = policy.NewWeights(m.LoRA.Parameters(params))
	fillByName(m.Weights)
	fillByName(m.Adapter)
	return m
}

// guided returns m with guidance; weights are shared.
func guided(m *policy.Model, s policy.Shape) *policy.Model {
	g := &policy.Model{Network: m.Network, Weights: m.Weights, LoRA: m.LoRA, Adapter: m.Adapter}
	g.GuideFrom(policy.Condition{Hidden: byName("input.null_hidden", s.Tokens*s.Joint), Pooled: byName("input.null_pooled", s.Pooled)}, peerGuidance)
	return g
}

func fillByName(w *policy.Weights) {
	for _, p := range w.Parameters() {
		if p.Frozen {
			p.Init(w.Tensor(p.Name), p.Shape, rng.Key{})
			continue
		}
		base, scale := affineOf(p.Name, p.Shape)
		fillHashed(w.Tensor(p.Name), p.Name, base, scale)
	}
}

// byName returns an input.
func byName(name string, size int) []float32 {
	x := make([]float32, size)
	if name == "input.t" {
		fillHashed(x, name, 0.5, 0.25)
	} else {
		fillHashed(x, name, 0, float32(math.Sqrt(3)))
	}
	return x
}

// affineOf returns offset and scale of a parameter.
func affineOf(name string, shape []int) (base, scale float32) {
	spread := math.Sqrt(3 / float64(product64(shape[1:])))
	switch {
	case strings.HasSuffix(name, ".linear.bias"):
		return 0, 0.25
	case strings.HasSuffix(name, ".bias"):
		return 0, 1.0 / 32
	case slices.ContainsFunc([]string{"norm_q", "norm_k", "norm_added_q", "norm_added_k"}, func(n string) bool { return strings.HasSuffix(name, n+".weight") }):
		return 1.5, 0.25
	case strings.HasSuffix(name, ".lora_B.weight"):
		return 0, 1.0 / 128
	case strings.HasSuffix(name, ".linear.weight"):
		return 0, float32(0.5 * spread)
	}
	return 0, float32(spread)
}

func product64(n []int) int {
	p := 1
	for _, i := range n {
		p *= i
	}
	return p
}

// fillHashed sets x to base + scale·u, u in [-1, 1) a hash of name and index, on all cores.
func fillHashed(x []float32, name string, base, scale float32) {
	seed := uint32(2166136261)
	for i := range len(name) {
		seed = (seed ^ uint32(name[i])) * 16777619
	}
	piece := max(1<<16, len(x)/runtime.GOMAXPROCS(0)+1)
	var starts []int
	for lo := 0; lo < len(x); lo += piece {
		starts = append(starts, lo)
	}
	iter.ForEach(starts, func(lo *int) {
		for i := *lo; i < min(*lo+piece, len(x)); i++ {
			h := uint32(i)*0x9E3779B1 + seed
			h = (h ^ h>>16) * 0x85EBCA6B
			h = (h ^ h>>13) * 0xC2B2AE35
			h ^= h >> 16
			u := float32(int32(h>>8)-8388608) / (1 << 23)
			x[i] = base + float32(scale*u)
		}
	})
}

// The values that weights.py gives, too.
func TestHashedWeights(t *testing.T) {
	for _, tt := range []struct {
		name  string
		shape []int
		index int
		want  float32
	}{
		{"transformer_blocks.3.attn.to_q.weight", []int{64, 48}, 1000, 0.019402533769607544},
		{"transformer_blocks.0.norm1.linear.bias", []int{288}, 7, -0.17609035968780518},
		{"transformer_blocks.0.attn.norm_added_k.weight", []int{16}, 5, 1.3546099662780762},
		{"transformer_blocks.2.attn.to_out.0.lora_B.weight", []int{48, 4}, 100, 0.006943204440176487},
		{"transformer_blocks.1.norm1_context.linear.weight", []int{96, 48}, 4000, -0.12122808396816254},
		{"proj_out.bias", []int{16}, 3, -0.020505599677562714},
	} {
		x := make([]float32, product64(tt.shape))
		base, scale := affineOf(tt.name, tt.shape)
		fillHashed(x, tt.name, base, scale)
		if x[tt.index] != tt.want {
			t.Errorf("%s[%d] = %v, want %v", tt.name, tt.index, x[tt.index], tt.want)
		}
	}
}
