package clip

import "fmt"

// A parameter is one tensor of a model's file.
type parameter struct {
	name  string
	shape []int
	kind  tensorKind
}

// A tensorKind is how programs read a tensor.
type tensorKind int

const (
	plainTensor  tensorKind = iota
	matrixTensor            // of a layer
	normTensor              // weight or bias of a norm
)

// parameters lists the tensors of a model, named and shaped as by transformers.
func (c config) parameters() []parameter {
	t, v := c.Text, c.Vision
	l := &list{}
	l.add("logit_scale", plainTensor)
	l.add("text_projection.weight", matrixTensor, c.ProjectionDim, t.HiddenSize)
	l.add("visual_projection.weight", matrixTensor, c.ProjectionDim, v.HiddenSize)

	l.add("text_model.embeddings.token_embedding.weight", plainTensor, t.VocabSize, t.HiddenSize)
	l.add("text_model.embeddings.position_embedding.weight", plainTensor, t.MaxPositions, t.HiddenSize)
	l.encoder("text_model", t.towerConfig)
	l.norm("text_model.final_layer_norm", t.HiddenSize)

	l.add("vision_model.embeddings.class_embedding", plainTensor, v.HiddenSize)
	l.add("vision_model.embeddings.patch_embedding.weight", matrixTensor, v.HiddenSize, v.Channels, v.PatchSize, v.PatchSize)
	l.add("vision_model.embeddings.position_embedding.weight", plainTensor, v.patches()+1, v.HiddenSize)
	l.norm("vision_model.pre_layrnorm", v.HiddenSize) // so spelled
	l.encoder("vision_model", v.towerConfig)
	l.norm("vision_model.post_layernorm", v.HiddenSize)
	return l.parameters
}

// derived names tensors that old files also have: the numbers 0, 1, 2, ….
var derived = []string{"text_model.embeddings.position_ids", "vision_model.embeddings.position_ids"}

type list struct{ parameters []parameter }

func (l *list) add(name string, kind tensorKind, shape ...int) {
	l.parameters = append(l.parameters, parameter{name, shape, kind})
}

func (l *list) linear(name string, out, in int) {
	l.add(name+".weight", matrixTensor, out, in)
	l.add(name+".bias", plainTensor, out)
}

func (l *list) norm(name string, d int) {
	l.add(name+".weight", normTensor, d)
	l.add(name+".bias", normTensor, d)
}

func (l *list) encoder(prefix string, c towerConfig) {
	d := c.HiddenSize
	for i := range c.Layers {
		name := layerName(prefix, i)
		l.norm(name+".layer_norm1", d)
		for _, p := range []string{"q_proj", "k_proj", "v_proj", "out_proj"} {
			l.linear(name+".self_attn."+p, d, d)
		}
		l.norm(name+".layer_norm2", d)
		l.linear(name+".mlp.fc1", c.IntermediateSize, d)
		l.linear(name+".mlp.fc2", d, c.IntermediateSize)
	}
}

func layerName(prefix string, i int) string { return fmt.Sprintf("%s.encoder.layers.%d", prefix, i) }
