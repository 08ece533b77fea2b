package policy

import (
	"fmt"
	"slices"
	"strings"

	"flowgrpo/internal/graph"
)

// A TextEncoder is the learned text encoder of the small models: one embedding
// per token plus one per position plus, inside quotation marks, one for the place
// in the quotation; pooled is a projection of their mean. Words outside of
// quotation marks are tokens, lower-cased; a word that the vocabulary lacks is
// spelled; text inside quotation marks is always spelled.
type TextEncoder struct {
	Tokens    int      // L: longer prompts are cut, shorter ones padded
	JointDim  int      // J
	PooledDim int      // P
	Vocab     []string // token strings by id
	Weights   *Weights
	ids       map[string]int
}

// Special tokens; a quoted character is '"' followed by it, a spelled one '#'.
const (
	padToken     = "[pad]"
	unknownToken = "[unk]"
	quoteToken   = `"`
)

// maxPlace is the number of places inside a quotation that have an embedding.
const maxPlace = 16

// textPrefix begins the names of the encoder's parameters.
const textPrefix = "text_encoder."

// NewTextEncoder returns an encoder with zero weights for the given vocabulary.
func NewTextEncoder(tokens, jointDim, pooledDim int, vocab []string) *TextEncoder {
	e := &TextEncoder{Tokens: tokens, JointDim: jointDim, PooledDim: pooledDim, Vocab: vocab, ids: map[string]int{}}
	for i, v := range vocab {
		e.ids[v] = i
	}
	e.Weights = NewWeights(e.Parameters())
	return e
}

// Vocabulary returns the vocabulary of a set of prompts: the special tokens, every
// printable ASCII character quoted and spelled, and all words, sorted.
func Vocabulary(prompts []string) []string {
	vocab := []string{padToken, unknownToken, quoteToken}
	for c := '!'; c <= '~'; c++ {
		vocab = append(vocab, `"`+string(c), "#"+string(c))
	}
	words := map[string]bool{}
	for _, p := range prompts {
		for i, part := range strings.Split(p, quoteToken) {
			if i%2 == 0 {
				for _, w := range strings.Fields(strings.ToLower(part)) {
					words[w] = true
				}
			}
		}
	}
	sorted := make([]string, 0, len(words))
	for w := range words {
		if !slices.Contains(vocab, w) {
			sorted = append(sorted, w)
		}
	}
	slices.Sort(sorted)
	return append(vocab, sorted...)
}

// Parameters lists the encoder's parameters.
func (e *TextEncoder) Parameters() []Parameter {
	l := &layers{}
	l.add(textPrefix+"token_embedding.weight", normal(0.5), len(e.Vocab), e.JointDim)
	l.add(textPrefix+"position_embedding.weight", normal(0.5), e.Tokens, e.JointDim)
	l.add(textPrefix+"place_embedding.weight", normal(0.5), maxPlace+1, e.JointDim)
	l.linear(textPrefix+"text_projection", xavier, e.JointDim, e.PooledDim)
	return l.params
}

// Tokenize stores the token ids of a prompt and their places in a quotation (0
// outside) in ids and places, both of length Tokens.
func (e *TextEncoder) Tokenize(prompt string, ids, places []float32) {
	clear(places)
	n := 0
	add := func(token string, place int) {
		if n == e.Tokens {
			return
		}
		id, ok := e.ids[token]
		if !ok {
			id = e.ids[unknownToken]
		}
		ids[n], places[n] = float32(id), float32(min(place, maxPlace))
		n++
	}
	for i, part := range strings.Split(prompt, quoteToken) {
		if i > 0 {
			add(quoteToken, 0)
		}
		e.tokenizePart(part, i%2 == 1, add)
	}
	for n < e.Tokens {
		add(padToken, 0)
	}
}

func (e *TextEncoder) tokenizePart(part string, quoted bool, add func(string, int)) {
	if quoted {
		place := 0
		for _, c := range part {
			place++
			add(`"`+string(c), place)
		}
		return
	}
	for _, w := range strings.Fields(strings.ToLower(part)) {
		if _, ok := e.ids[w]; ok {
			add(w, 0)
			continue
		}
		for _, c := range w {
			add("#"+string(c), 0)
		}
	}
}

// Build adds the encoder to the graph of b: ids and places [B, L] become hidden
// [B, L, J] and pooled [B, P].
func (e *TextEncoder) Build(b *Builder, ids, places graph.Node) (hidden, pooled graph.Node) {
	hidden = graph.Add(
		graph.Lookup(b.Param(textPrefix+"token_embedding.weight"), ids),
		graph.Lookup(b.Param(textPrefix+"place_embedding.weight"), places))
	hidden = graph.AddRows(hidden, b.Param(textPrefix+"position_embedding.weight"))
	return hidden, b.Linear(textPrefix+"text_projection", graph.MeanTokens(hidden))
}

// Encode returns the condition of a prompt. It compiles a program of its own, so
// callers keep the result. Safe for concurrent use.
func (e *TextEncoder) Encode(prompt string) Condition {
	b := newBuilder(e.Parameters(), nil)
	hidden, pooled := e.Build(b, graph.Input(b.Graph, "ids", 1, e.Tokens), graph.Input(b.Graph, "places", 1, e.Tokens))
	p, err := graph.Compile(hidden, pooled)
	if err != nil {
		panic(fmt.Sprintf("policy: text encoder: %v", err))
	}
	ids, places := make([]float32, e.Tokens), make([]float32, e.Tokens)
	e.Tokenize(prompt, ids, places)
	for _, param := range e.Weights.Parameters() {
		p.Bind(param.Name, e.Weights.tensor(param.Name))
	}
	p.Bind("ids", ids)
	p.Bind("places", places)
	p.Run()
	return Condition{
		Hidden: slices.Clone(p.Output(0).F32),
		Pooled: slices.Clone(p.Output(1).F32),
	}
}
