package clip

import (
	"fmt"
	"strings"
)

// A tokenizer is CLIP's: lower-cased words, as byte-pair encodings of their UTF-8, of which
// the last symbol is marked as the end of a word. Its ids are those of transformers'
// CLIPTokenizer.
type tokenizer struct {
	inside, last [256]int // the symbol of a byte, and of one that ends a word
	merges       merges
	start, end   int // ids of the special tokens
	size         int // one more than the largest id
}

// endOfWord marks the last symbol of a word in a vocabulary.
const endOfWord = "</w>"

// newTokenizer returns the tokenizer of a vocabulary and a list of merges, each "left right".
func newTokenizer(vocabulary map[string]int, list []string) (*tokenizer, error) {
	t := &tokenizer{merges: make(merges, len(list))}
	for _, id := range vocabulary {
		t.size = max(t.size, id+1)
	}
	var err error
	id := func(token string) int {
		i, ok := vocabulary[token]
		if err == nil && (!ok || i < 0) {
			err = fmt.Errorf("token %q is missing", token)
		}
		return i
	}
	for b := range 256 {
		symbol := string(byteSymbol(byte(b)))
		t.inside[b], t.last[b] = id(symbol), id(symbol+endOfWord)
	}
	t.start, t.end = id(startToken), id(endToken)
	for rank, line := range list {
		left, right, ok := strings.Cut(line, " ")
		if !ok || left == "" || right == "" || strings.Contains(right, " ") {
			return nil, fmt.Errorf("merge %d is %q, want two symbols and a space between them", rank+1, line)
		}
		t.merges[[2]int{id(left), id(right)}] = merge{id(left + right), rank}
	}
	return t, err
}

// byteSymbol returns the character that stands for b in a vocabulary, as in GPT-2: itself if
// it prints in Latin-1, else the next one from U+0100 on.
func byteSymbol(b byte) rune {
	prints := func(b byte) bool { return b >= '!' && b <= '~' || b >= 0xa1 && b <= 0xac || b >= 0xae }
	if prints(b) {
		return rune(b)
	}
	n := rune(0x100)
	for other := range b {
		if !prints(other) {
			n++
		}
	}
	return n
}

// encode returns the tokens of a text between start and end, cut to length with them.
func (t *tokenizer) encode(text string, length int) []int {
	ids := []int{t.start}
	for text != "" {
		before, after, token := t.cutSpecial(text)
		pieces(normalize(before), func(piece string) { ids = append(ids, t.word(piece)...) })
		ids, text = append(ids, token...), after
	}
	return append(ids[:min(len(ids), length-1)], t.end)
}

// cutSpecial cuts text at the first special token, if there is one.
func (t *tokenizer) cutSpecial(text string) (before, after string, token []int) {
	before = text
	for _, special := range []struct {
		name string
		id   int
	}{{startToken, t.start}, {endToken, t.end}} {
		if i := strings.Index(before, special.name); i >= 0 {
			before, after, token = text[:i], text[i+len(special.name):], []int{special.id}
		}
	}
	return before, after, token
}

// word returns the tokens of a piece.
func (t *tokenizer) word(piece string) []int {
	symbols := make([]int, len(piece))
	for i := range len(piece) {
		symbols[i] = t.inside[piece[i]]
	}
	symbols[len(piece)-1] = t.last[piece[len(piece)-1]]
	return t.merges.apply(symbols)
}
