package policy

import (
	"fmt"

	"flowgrpo/internal/graph"
)

// Chunks of the modulation that a block's norm1 layers compute, in diffusers'
// order: AdaLayerNormZero has the first six, SD35AdaLayerNormZeroX all nine.
const (
	shiftAttn = iota
	scaleAttn
	gateAttn
	shiftMLP
	scaleMLP
	gateMLP
	shiftAttn2
	scaleAttn2
	gateAttn2
)

// block adds joint block i: attention over the picture's and the text's tokens
// together, then a feed-forward net for each stream, every residual gated by the
// conditioning. The last block only reads the text (context_pre_only).
func (c *MMDiT) block(b *Builder, i int, x, text, emb graph.Node) (graph.Node, graph.Node) {
	name := fmt.Sprintf("transformer_blocks.%d", i)
	last := i == c.NumLayers-1
	mod := b.Linear(name+".norm1.linear", emb)
	modText := b.Linear(name+".norm1_context.linear", emb)

	normed := graph.LayerNorm(x, mod, shiftAttn, scaleAttn, normEps)
	var normedText graph.Node
	if last { // AdaLayerNormContinuous: scale first, then shift
		normedText = graph.LayerNorm(text, modText, 1, 0, normEps)
	} else {
		normedText = graph.LayerNorm(text, modText, shiftAttn, scaleAttn, normEps)
	}
	attn, attnText := c.jointAttention(b, name+".attn", normed, normedText, last)

	out := graph.GatedResidual(x, mod, attn, gateAttn)
	if c.dual(i) {
		normed2 := graph.LayerNorm(x, mod, shiftAttn2, scaleAttn2, normEps)
		out = graph.GatedResidual(out, mod, c.selfAttention(b, name+".attn2", normed2), gateAttn2)
	}
	out = c.feedForward(b, name+".ff", out, mod)
	if last {
		return out, nil
	}
	text = graph.GatedResidual(text, modText, attnText, gateAttn)
	return out, c.feedForward(b, name+".ff_context", text, modText)
}

func (c *MMDiT) feedForward(b *Builder, name string, x, mod graph.Node) graph.Node {
	h := graph.LayerNorm(x, mod, shiftMLP, scaleMLP, normEps)
	h = graph.Gelu(b.Linear(name+".net.0.proj", h))
	return graph.GatedResidual(x, mod, b.Linear(name+".net.2", h), gateMLP)
}

// jointAttention attends over picture then text; without a text output (last)
// the second result is nil.
func (c *MMDiT) jointAttention(b *Builder, name string, x, text graph.Node, last bool) (graph.Node, graph.Node) {
	streams := graph.Attention(c.Heads,
		c.normed(b, name+".norm_q", b.Linear(name+".to_q", x)),
		c.normed(b, name+".norm_k", b.Linear(name+".to_k", x)),
		b.Linear(name+".to_v", x),
		c.normed(b, name+".norm_added_q", b.Linear(name+".add_q_proj", text)),
		c.normed(b, name+".norm_added_k", b.Linear(name+".add_k_proj", text)),
		b.Linear(name+".add_v_proj", text))
	out := b.Linear(name+".to_out.0", streams[0])
	if last {
		return out, nil
	}
	return out, b.Linear(name+".to_add_out", streams[1])
}

func (c *MMDiT) selfAttention(b *Builder, name string, x graph.Node) graph.Node {
	return b.Linear(name+".to_out.0", graph.Attention(c.Heads,
		c.normed(b, name+".norm_q", b.Linear(name+".to_q", x)),
		c.normed(b, name+".norm_k", b.Linear(name+".to_k", x)),
		b.Linear(name+".to_v", x))[0])
}

func (c *MMDiT) normed(b *Builder, name string, x graph.Node) graph.Node {
	if c.QKNorm == "" {
		return x
	}
	return graph.RMSNorm(x, b.Param(name+".weight"), normEps)
}
