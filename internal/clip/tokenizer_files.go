package clip

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"flowgrpo/internal/jsonfile"
)

// Files of a tokenizer.
const (
	tokenizerFile       = "tokenizer.json"
	tokenizerConfigFile = "tokenizer_config.json"
	vocabularyFile      = "vocab.json"
	mergesFile          = "merges.txt"
)

// loadTokenizer reads tokenizer.json or, without it, vocab.json and merges.txt.
func loadTokenizer(fsys fs.FS) (*tokenizer, error) {
	if err := checkTokenizerClass(fsys); err != nil {
		return nil, err
	}
	t, err := loadWhole(fsys)
	if errors.Is(err, fs.ErrNotExist) {
		return loadParts(fsys)
	}
	return t, err
}

// checkTokenizerClass refuses folders of other tokenizers; one that names none passes.
func checkTokenizerClass(fsys fs.FS) error {
	var c struct {
		Class string `json:"tokenizer_class"`
	}
	err := jsonfile.Read(fsys, tokenizerConfigFile, &c, false)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	switch c.Class {
	case "", "CLIPTokenizer", "CLIPTokenizerFast":
		return nil
	}
	return fmt.Errorf("%s: tokenizer_class is %q, want \"CLIPTokenizer\"", tokenizerConfigFile, c.Class)
}

// loadWhole reads the vocabulary and the merges of tokenizer.json. The rest of it, which
// transformers does not use either, is that of CLIPTokenizer.
func loadWhole(fsys fs.FS) (*tokenizer, error) {
	var file struct {
		Added []struct {
			Content string `json:"content"`
		} `json:"added_tokens"`
		Model struct {
			Type       string         `json:"type"`
			Prefix     string         `json:"continuing_subword_prefix"`
			Suffix     string         `json:"end_of_word_suffix"`
			Vocabulary map[string]int `json:"vocab"`
			Merges     []mergeLine    `json:"merges"`
		} `json:"model"`
	}
	if err := jsonfile.Read(fsys, tokenizerFile, &file, false); err != nil {
		return nil, err
	}
	m := file.Model
	if m.Type != "" && m.Type != "BPE" || m.Prefix != "" || m.Suffix != endOfWord {
		return nil, fmt.Errorf("%s: model has type %q, continuing_subword_prefix %q and end_of_word_suffix %q; want \"BPE\", \"\" and %q",
			tokenizerFile, m.Type, m.Prefix, m.Suffix, endOfWord)
	}
	for _, a := range file.Added {
		if a.Content != startToken && a.Content != endToken {
			return nil, fmt.Errorf("%s: added_tokens has %q; this program knows %q and %q", tokenizerFile, a.Content, startToken, endToken)
		}
	}
	list := make([]string, len(m.Merges))
	for i, line := range m.Merges {
		list[i] = string(line)
	}
	t, err := newTokenizer(m.Vocabulary, list)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", tokenizerFile, err)
	}
	return t, nil
}

// A mergeLine is a merge in tokenizer.json: "left right" or, in newer files, a pair.
type mergeLine string

// UnmarshalJSON implements json.Unmarshaler.
func (m *mergeLine) UnmarshalJSON(b []byte) error {
	if b[0] != '[' {
		return json.Unmarshal(b, (*string)(m))
	}
	var pair []string
	if err := json.Unmarshal(b, &pair); err != nil {
		return err
	}
	*m = mergeLine(strings.Join(pair, " "))
	return nil
}

// loadParts reads vocab.json and merges.txt.
func loadParts(fsys fs.FS) (*tokenizer, error) {
	var vocabulary map[string]int
	if err := jsonfile.Read(fsys, vocabularyFile, &vocabulary, false); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("there is neither %s nor %s", tokenizerFile, vocabularyFile)
		}
		return nil, err
	}
	text, err := fs.ReadFile(fsys, mergesFile)
	if err != nil {
		return nil, err
	}
	var list []string
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimRight(line, "\r\n"); line != "" && !strings.HasPrefix(line, "#version") {
			list = append(list, line)
		}
	}
	t, err := newTokenizer(vocabulary, list)
	if err != nil {
		return nil, fmt.Errorf("%s, %s: %w", vocabularyFile, mergesFile, err)
	}
	return t, nil
}
