package clip

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Special tokens of CLIP. Where they occur in a text, so written, they are one token.
const (
	startToken = "<|startoftext|>"
	endToken   = "<|endoftext|>"
)

// normalize returns text in composed form (NFC) and in lower case, a letter at a time as the
// tokenizers library does it: the one letter whose lower case is two is İ.
func normalize(text string) string {
	text = norm.NFC.String(strings.ToValidUTF8(text, string(utf8.RuneError)))
	var b strings.Builder
	for _, r := range text {
		if r == 'İ' {
			b.WriteString("i\u0307")
			continue
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// contractions are pieces of their own.
var contractions = []string{"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"}

// pieces calls yield with the words of a normalized text in order: a contraction, letters, one
// digit, or what is neither, without white space. It is the pattern of CLIP's tokenizer,
//
//	<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+
//
// where the tokenizers library splits the first two, which lowering may have made, again.
func pieces(text string, yield func(piece string)) {
	for text != "" {
		n := 0
		for _, token := range []string{startToken, endToken} {
			if strings.HasPrefix(text, token) {
				yield("<|")
				yield(token[2 : len(token)-2])
				yield("|>")
				n = len(token)
			}
		}
		if n == 0 {
			var word bool
			if n, word = firstPiece(text); word {
				yield(text[:n])
			}
		}
		text = text[n:]
	}
}

// firstPiece returns the length of what text begins with, and whether it is a piece and not
// white space.
func firstPiece(text string) (n int, word bool) {
	for _, c := range contractions {
		if strings.HasPrefix(text, c) {
			return len(c), true
		}
	}
	first, n := utf8.DecodeRuneInString(text)
	kind := kindOf(first)
	if kind == digit || kind == space {
		return n, kind == digit
	}
	for i, r := range text[n:] {
		if kindOf(r) != kind {
			return n + i, true
		}
	}
	return len(text), true
}

// A kind is what a piece is made of.
type kind int

const (
	other kind = iota
	letter
	digit
	space
)

func kindOf(r rune) kind {
	switch {
	case unicode.IsLetter(r):
		return letter
	case unicode.IsNumber(r):
		return digit
	case unicode.IsSpace(r):
		return space
	}
	return other
}
