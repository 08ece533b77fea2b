package clip

import (
	"gorgonia.org/gorgonia"

	"flowgrpo/internal/graph"
)

// A tower is a transformer: layers with norms in front, a norm and a projection of one
// token behind.
type tower struct {
	towerConfig
	prefix     string // of its tensors
	tokens     int    // T
	causal     bool   // no token sees those that follow it
	norm       string // the last one
	projection string
	embedding  int // P
	inputs     int // numbers that a sample is embedded from
	// embed adds the input of a batch to the graph, and what it is embedded as [B·T, D].
	embed func(b *builder, batch int) graph.Node
}

// A builder adds a tower to a graph.
type builder struct{ *gorgonia.ExprGraph }

func (b *builder) input(name string, shape ...int) graph.Node {
	return graph.Input(b.ExprGraph, name, shape...)
}

// linear applies the layer called name, which has out outputs, and a bias if biased.
func (b *builder) linear(name string, x graph.Node, out int, biased bool) graph.Node {
	shape := x.Shape()
	w := b.input(name+".weight", out, shape[len(shape)-1])
	if !biased {
		return graph.Linear(x, w, nil)
	}
	return graph.Linear(x, w, b.input(name+".bias", out))
}

// layerNorm applies the norm called name to the rows of x [1, N, D]. See packNorm.
func (b *builder) layerNorm(name string, x graph.Node, eps float64) graph.Node {
	return graph.LayerNorm(x, b.input(name, 1, 2*x.Shape()[2]), 0, 1, float32(eps))
}

// Inputs of a tower's graph.
const (
	inputData = "input" // what embed reads
	inputPick = "pick"  // [1, B]: the row of B·T that is each sample's embedding
)

// build adds the tower for a batch and returns the embeddings [1, B, P]. All of it is on rows
// of tokens [1, B·T, D], but for attention, which sees samples.
func (t *tower) build(b *builder, batch int) graph.Node {
	rows, d := batch*t.tokens, t.HiddenSize
	x := t.embed(b, batch)
	picked := b.input(inputPick, 1, batch)
	pick := func(x graph.Node) graph.Node { return graph.Lookup(graph.Reshape(x, rows, d), picked) }
	for i := range t.Layers {
		name := layerName(t.prefix, i)
		attended := t.attend(b, name+".self_attn", b.layerNorm(name+".layer_norm1", x, t.NormEps), batch)
		if i == t.Layers-1 { // nothing looks at the other tokens any more
			x, attended = pick(x), pick(attended)
		}
		x = graph.Add(x, b.linear(name+".self_attn.out_proj", attended, d, true))
		h := b.linear(name+".mlp.fc1", b.layerNorm(name+".layer_norm2", x, t.NormEps), t.IntermediateSize, true)
		x = graph.Add(x, b.linear(name+".mlp.fc2", t.activate(h), d, true))
	}
	return b.linear(t.projection, b.layerNorm(t.norm, x, t.NormEps), t.embedding, false)
}

// attend returns the attention of every token, before its projection.
func (t *tower) attend(b *builder, name string, x graph.Node, batch int) graph.Node {
	project := func(p string) graph.Node {
		return graph.Reshape(b.linear(name+"."+p, x, t.HiddenSize, true), batch, t.tokens, t.HiddenSize)
	}
	q, k, v := project("q_proj"), project("k_proj"), project("v_proj")
	var y graph.Node
	if t.causal {
		y = graph.CausalAttention(t.Heads, q, k, v)
	} else {
		y = graph.Attention(t.Heads, q, k, v)[0]
	}
	return graph.Reshape(y, x.Shape()...)
}

// activate applies the activation. quick_gelu is x·σ(1.702·x) = silu(1.702·x)/1.702: the
// factors are in the layers before and after it, see scaleQuickGelu.
func (t *tower) activate(x graph.Node) graph.Node {
	if t.Activation == quickGelu {
		return graph.Silu(x)
	}
	return graph.GeluErf(x)
}

// textTower returns the tower of texts. Its input are the ids of tokens [B, T].
func (c config) textTower() *tower {
	text := c.Text
	return &tower{
		towerConfig: text.towerConfig, prefix: "text_model", tokens: text.MaxPositions, causal: true,
		norm: "text_model.final_layer_norm", projection: "text_projection", embedding: c.ProjectionDim,
		inputs: text.MaxPositions,
		embed: func(b *builder, batch int) graph.Node {
			n, d := text.MaxPositions, text.HiddenSize
			table := b.input("text_model.embeddings.token_embedding.weight", text.VocabSize, d)
			x := graph.Lookup(table, b.input(inputData, batch, n))
			x = graph.AddRows(x, b.input("text_model.embeddings.position_embedding.weight", n, d))
			return graph.Reshape(x, 1, batch*n, d)
		},
	}
}

// visionTower returns the tower of pictures. Its input are patches [1, B·T, 3·p·p], of each
// picture a zero one first: that has no product, and becomes the class token when the
// positions are added. See addClass.
func (c config) visionTower() *tower {
	v := c.Vision
	pixels := v.Channels * v.PatchSize * v.PatchSize // of a patch
	return &tower{
		towerConfig: v.towerConfig, prefix: "vision_model", tokens: v.patches() + 1,
		norm: "vision_model.post_layernorm", projection: "visual_projection", embedding: c.ProjectionDim,
		inputs: (v.patches() + 1) * pixels,
		embed: func(b *builder, batch int) graph.Node {
			n, d := v.patches()+1, v.HiddenSize
			patches := b.input(inputData, 1, batch*n, pixels)
			x := b.linear("vision_model.embeddings.patch_embedding", patches, d, false)
			x = graph.AddRows(graph.Reshape(x, batch, n, d), b.input("vision_model.embeddings.position_embedding.weight", n, d))
			return b.layerNorm("vision_model.pre_layrnorm", graph.Reshape(x, 1, batch*n, d), v.NormEps)
		},
	}
}
