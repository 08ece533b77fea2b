package policy

import (
	"fmt"
	"math"
	"slices"

	"flowgrpo/internal/graph"
	"flowgrpo/internal/portable"
	"flowgrpo/internal/rng"
)

// MMDiT is the multimodal diffusion transformer of Stable Diffusion 3 (Esser et
// al., arXiv:2403.03206, §4) and 3.5, with the tensor names, shapes and settings
// of diffusers' SD3Transformer2DModel: its fields are that class's config.json.
type MMDiT struct {
	SampleSize          int    `json:"sample_size"`        // pixels of the square that positions are scaled to
	PatchSize           int    `json:"patch_size"`         // p
	InChannels          int    `json:"in_channels"`        // C
	OutChannels         int    `json:"out_channels"`       // C again
	NumLayers           int    `json:"num_layers"`         // joint blocks
	HeadDim             int    `json:"attention_head_dim"` // D/H
	Heads               int    `json:"num_attention_heads"`
	JointAttentionDim   int    `json:"joint_attention_dim"`    // J
	CaptionDim          int    `json:"caption_projection_dim"` // must equal D
	PooledDim           int    `json:"pooled_projection_dim"`  // P
	PosEmbedMaxSize     int    `json:"pos_embed_max_size"`     // patches per side of the stored position table
	DualAttentionLayers []int  `json:"dual_attention_layers"`
	QKNorm              string `json:"qk_norm"` // "rms_norm", or "" for none

	// What config.json does not say: the picture and the text of this model.
	Height int `json:"-"`
	Width  int `json:"-"`
	Tokens int `json:"-"`
}

const (
	timeChannels = 256  // width of the sinusoidal time embedding
	timeScale    = 1000 // SD3 counts time in thousandths
	normEps      = 1e-6 // of every norm in SD3
	mlpRatio     = 4
)

func (c *MMDiT) dim() int { return c.HeadDim * c.Heads }

func (c *MMDiT) dual(layer int) bool { return slices.Contains(c.DualAttentionLayers, layer) }

// Limits of what a configuration may ask for, far above any model in use.
const (
	maxSize   = 1 << 16
	maxLayers = 1 << 9
)

// A size is a number of a configuration, by its key there, and the most that it may be.
type size struct {
	key         string
	value, most int
}

// checkSizes returns an error for the first size that is less than 1 or too large.
func checkSizes(sizes ...size) error {
	for _, s := range sizes {
		if s.value < 1 || s.value > s.most {
			return fmt.Errorf("%s is %d, want 1 to %d", s.key, s.value, s.most)
		}
	}
	return nil
}

func (c *MMDiT) sizes() []size {
	return []size{
		{"sample_size", c.SampleSize, maxSize}, {"patch_size", c.PatchSize, maxSize}, {"in_channels", c.InChannels, maxSize},
		{"num_layers", c.NumLayers, maxLayers}, {"attention_head_dim", c.HeadDim, maxSize}, {"num_attention_heads", c.Heads, maxSize},
		{"joint_attention_dim", c.JointAttentionDim, maxSize}, {"pooled_projection_dim", c.PooledDim, maxSize},
		{"pos_embed_max_size", c.PosEmbedMaxSize, maxSize}, {"height", c.Height, maxSize}, {"width", c.Width, maxSize}, {"tokens", c.Tokens, maxSize},
	}
}

// Validate returns what is wrong with the sizes, or nil.
func (c *MMDiT) Validate() error {
	if err := checkSizes(c.sizes()...); err != nil {
		return fmt.Errorf("policy: transformer config: %w", err)
	}
	switch {
	case c.CaptionDim != c.dim():
		return fmt.Errorf("policy: transformer config: caption_projection_dim is %d, want heads × head dim = %d", c.CaptionDim, c.dim())
	case c.OutChannels != c.InChannels:
		return fmt.Errorf("policy: transformer config: out_channels is %d, want in_channels = %d", c.OutChannels, c.InChannels)
	case c.QKNorm != "" && c.QKNorm != "rms_norm":
		return fmt.Errorf("policy: transformer config: qk_norm is %.100q, want \"rms_norm\" or null", c.QKNorm)
	case c.dim()%4 != 0:
		return fmt.Errorf("policy: transformer config: width %d is not a multiple of 4", c.dim())
	case c.Height%c.PatchSize != 0 || c.Width%c.PatchSize != 0:
		return fmt.Errorf("policy: picture of %d×%d is not a multiple of patch_size %d", c.Height, c.Width, c.PatchSize)
	case max(c.Height, c.Width) > c.PosEmbedMaxSize*c.PatchSize:
		return fmt.Errorf("policy: picture of %d×%d has more than pos_embed_max_size = %d patches on a side", c.Height, c.Width, c.PosEmbedMaxSize)
	}
	for _, l := range c.DualAttentionLayers {
		if l < 0 || l >= c.NumLayers {
			return fmt.Errorf("policy: transformer config: dual_attention_layers names layer %d of %d", l, c.NumLayers)
		}
	}
	return nil
}

// Shape implements [Network].
func (c *MMDiT) Shape() Shape {
	return Shape{c.InChannels, c.Height, c.Width, c.Tokens, c.JointAttentionDim, c.PooledDim}
}

// Parameters implements [Network].
func (c *MMDiT) Parameters() []Parameter {
	d := c.dim()
	l := &layers{}
	l.add("pos_embed.proj.weight", xavier, d, c.InChannels, c.PatchSize, c.PatchSize)
	l.add("pos_embed.proj.bias", zeros, d)
	l.linear("time_text_embed.timestep_embedder.linear_1", normal(0.02), timeChannels, d)
	l.linear("time_text_embed.timestep_embedder.linear_2", normal(0.02), d, d)
	l.linear("time_text_embed.text_embedder.linear_1", normal(0.02), c.PooledDim, d)
	l.linear("time_text_embed.text_embedder.linear_2", normal(0.02), d, d)
	l.linear("context_embedder", xavier, c.JointAttentionDim, d)
	for i := range c.NumLayers {
		c.blockParameters(l, fmt.Sprintf("transformer_blocks.%d", i), i)
	}
	l.linear("norm_out.linear", zeros, d, 2*d)
	l.linear("proj_out", zeros, d, c.PatchSize*c.PatchSize*c.OutChannels)
	n := c.PosEmbedMaxSize
	return append(l.params, Parameter{
		Name: "pos_embed.pos_embed", Shape: []int{1, n * n, d}, Frozen: true, Init: c.positions,
	})
}

func (c *MMDiT) blockParameters(l *layers, name string, i int) {
	d, last := c.dim(), i == c.NumLayers-1
	if c.dual(i) {
		l.linear(name+".norm1.linear", zeros, d, 9*d)
	} else {
		l.linear(name+".norm1.linear", zeros, d, 6*d)
	}
	if last {
		l.linear(name+".norm1_context.linear", zeros, d, 2*d)
	} else {
		l.linear(name+".norm1_context.linear", zeros, d, 6*d)
	}
	joint := []string{"to_q", "to_k", "to_v", "add_k_proj", "add_v_proj", "add_q_proj", "to_out.0"}
	if !last {
		joint = append(joint, "to_add_out")
	}
	c.attentionParameters(l, name+".attn", joint, []string{"norm_q", "norm_k", "norm_added_q", "norm_added_k"})
	if c.dual(i) {
		c.attentionParameters(l, name+".attn2", []string{"to_q", "to_k", "to_v", "to_out.0"}, []string{"norm_q", "norm_k"})
	}
	l.linear(name+".ff.net.0.proj", xavier, d, mlpRatio*d)
	l.linear(name+".ff.net.2", xavier, mlpRatio*d, d)
	if !last {
		l.linear(name+".ff_context.net.0.proj", xavier, d, mlpRatio*d)
		l.linear(name+".ff_context.net.2", xavier, mlpRatio*d, d)
	}
}

func (c *MMDiT) attentionParameters(l *layers, name string, projections, norms []string) {
	for _, p := range projections {
		l.linear(name+"."+p, xavier, c.dim(), c.dim())
	}
	if c.QKNorm == "" {
		return
	}
	for _, n := range norms {
		l.add(name+"."+n+".weight", ones, c.HeadDim)
	}
}

// layers collects parameters.
type layers struct{ params []Parameter }

func (l *layers) add(name string, init Init, shape ...int) {
	l.params = append(l.params, Parameter{Name: name, Shape: shape, Init: init})
}

func (l *layers) linear(name string, init Init, in, out int) {
	l.add(name+".weight", init, out, in)
	l.add(name+".bias", zeros, out)
}

// positions fills the table of fixed two-dimensional sine-cosine embeddings
// [1, n·n, D], row-major over (y, x): the first half encodes x, the second y,
// each as sines then cosines of pos·10000^(-i/(D/4)). Positions are scaled as if
// the table covered sample_size/patch_size patches.
func (c *MMDiT) positions(dst []float32, shape []int, _ rng.Key) {
	n, d := c.PosEmbedMaxSize, shape[2]
	base := float64(c.SampleSize / c.PatchSize)
	for y := range n {
		for x := range n {
			row := dst[(y*n+x)*d : (y*n+x+1)*d]
			sincos(row[:d/2], float64(x)*base/float64(n))
			sincos(row[d/2:], float64(y)*base/float64(n))
		}
	}
}

func sincos(dst []float32, pos float64) {
	half := len(dst) / 2
	for i := range half {
		sin, cos := portable.Sincos(pos * portable.Exp(-4*math.Ln10*float64(i)/float64(half)))
		dst[i], dst[half+i] = float32(sin), float32(cos)
	}
}

// Velocity implements [Network].
func (c *MMDiT) Velocity(b *Builder, in Inputs) graph.Node {
	emb := c.conditioning(b, in)
	x := b.Linear("pos_embed.proj", graph.Patchify(in.X, c.PatchSize))
	x = graph.AddRows(x, c.cropPositions(b))
	text := b.Linear("context_embedder", in.Hidden)
	for i := range c.NumLayers {
		x, text = c.block(b, i, graph.Checkpoint(x), graph.Checkpoint(text), emb)
	}
	x = graph.LayerNorm(x, b.Linear("norm_out.linear", emb), 1, 0, normEps)
	return graph.Unpatchify(b.Linear("proj_out", x), c.OutChannels, c.Height, c.Width, c.PatchSize)
}

// conditioning returns silu(time embedding + pooled text embedding) [B, D]; every
// modulation of the network begins with this silu, so it is taken once.
func (c *MMDiT) conditioning(b *Builder, in Inputs) graph.Node {
	time := graph.TimeEmbedding(in.T, timeChannels, timeScale)
	return graph.Checkpoint(graph.Silu(graph.Add(
		c.embedder(b, "time_text_embed.timestep_embedder", time),
		c.embedder(b, "time_text_embed.text_embedder", in.Pooled))))
}

func (c *MMDiT) embedder(b *Builder, name string, x graph.Node) graph.Node {
	return b.Linear(name+".linear_2", graph.Silu(b.Linear(name+".linear_1", x)))
}

// cropPositions returns the rows of the position table for the centre crop that
// the picture covers, [H/p · W/p, D].
func (c *MMDiT) cropPositions(b *Builder) graph.Node {
	n, h, w := c.PosEmbedMaxSize, c.Height/c.PatchSize, c.Width/c.PatchSize
	table := b.Param("pos_embed.pos_embed")
	return graph.Crop(table, n, n, (n-h)/2, (n-w)/2, h, w)
}
