package policy

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"

	"flowgrpo/internal/jsonfile"
)

// textClass is the architecture of a [TextEncoder] in text_encoder/config.json.
const textClass = "FlowGRPOTextEncoder"

// textConfig is text_encoder/config.json.
type textConfig struct {
	Architectures []string `json:"architectures"`
	MaxTokens     int      `json:"max_tokens"` // L
	JointDim      int      `json:"joint_dim"`  // J
	PooledDim     int      `json:"pooled_dim"` // P
	VocabSize     int      `json:"vocab_size"`
}

// tokenizerConfig is tokenizer/tokenizer_config.json.
type tokenizerConfig struct {
	Class     string `json:"tokenizer_class"`
	MaxLength int    `json:"model_max_length"`
}

const tokenizerClass = "FlowGRPOTokenizer"

// saveText writes text_encoder/ and tokenizer/.
func saveText(dir string, e *TextEncoder, opts SaveOptions) error {
	config := textConfig{[]string{textClass}, e.Tokens, e.JointDim, e.PooledDim, len(e.Vocab)}
	if err := writeJSON(filepath.Join(dir, textFolder, configFile), config); err != nil {
		return err
	}
	if err := saveWeights(filepath.Join(dir, textFolder, textWeights), e.Weights, textPrefix, "", opts); err != nil {
		return err
	}
	ids := make(map[string]int, len(e.Vocab))
	for i, token := range e.Vocab {
		ids[token] = i
	}
	if err := writeJSON(filepath.Join(dir, tokenizerFolder, "vocab.json"), ids); err != nil {
		return err
	}
	return writeJSON(filepath.Join(dir, tokenizerFolder, "tokenizer_config.json"), tokenizerConfig{tokenizerClass, e.Tokens})
}

// loadText reads the text encoder, or returns nil if the folder has none or one of
// another class.
func loadText(fsys fs.FS) (*TextEncoder, error) {
	name := textFolder + "/" + configFile
	var other struct {
		Architectures []string `json:"architectures"`
	}
	if err := jsonfile.Read(fsys, name, &other, false); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	if !slices.Equal(other.Architectures, []string{textClass}) {
		return nil, nil
	}
	var c textConfig
	if err := jsonfile.Read(fsys, name, &c, true); err != nil {
		return nil, err
	}
	err := checkSizes(size{"max_tokens", c.MaxTokens, maxSize}, size{"joint_dim", c.JointDim, maxSize}, size{"pooled_dim", c.PooledDim, maxSize})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	vocab, err := loadVocabulary(fsys)
	if err != nil {
		return nil, err
	}
	if len(vocab) != c.VocabSize {
		return nil, fmt.Errorf("%s: vocab_size is %d, but the tokenizer has %d tokens", name, c.VocabSize, len(vocab))
	}
	e := &TextEncoder{Tokens: c.MaxTokens, JointDim: c.JointDim, PooledDim: c.PooledDim, Vocab: vocab}
	weights, err := loadWeights(fsys, textFolder, textPrefix, e.Parameters())
	if err != nil {
		return nil, err
	}
	e = NewTextEncoder(e.Tokens, e.JointDim, e.PooledDim, vocab)
	e.Weights = weights
	return e, nil
}

// loadVocabulary reads tokenizer/vocab.json, which maps every token to its id.
func loadVocabulary(fsys fs.FS) ([]string, error) {
	const name = tokenizerFolder + "/vocab.json"
	var ids map[string]int
	if err := jsonfile.Read(fsys, name, &ids, false); err != nil {
		return nil, err
	}
	vocab, used := make([]string, len(ids)), make([]bool, len(ids))
	for _, token := range slices.Sorted(maps.Keys(ids)) { // so that the first error is always the same
		id := ids[token]
		if id < 0 || id >= len(ids) || used[id] {
			return nil, fmt.Errorf("%s: the ids of %d tokens must be 0 to %d, each once; %.100q has %d", name, len(ids), len(ids)-1, token, id)
		}
		vocab[id], used[id] = token, true
	}
	for _, special := range []string{padToken, unknownToken} {
		if _, ok := ids[special]; !ok {
			return nil, fmt.Errorf("%s: token %q is missing", name, special)
		}
	}
	return vocab, nil
}

// checkText returns an error if text encoder and network do not fit.
func checkText(m *Model) error {
	if m.Text == nil {
		return nil
	}
	s := m.Network.Shape()
	if m.Text.PooledDim != s.Pooled {
		return fmt.Errorf("%s/%s: pooled_dim is %d, but the network takes %d", textFolder, configFile, m.Text.PooledDim, s.Pooled)
	}
	if _, ok := m.Network.(*MMDiT); ok && (m.Text.Tokens != s.Tokens || m.Text.JointDim != s.Joint) {
		return fmt.Errorf("%s/%s: text of %d tokens × %d, but the network takes %d × %d",
			textFolder, configFile, m.Text.Tokens, m.Text.JointDim, s.Tokens, s.Joint)
	}
	return nil
}
