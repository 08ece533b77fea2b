package wire

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Printable returns the end of s, at most limit bytes, without what could play tricks
// on a terminal: bytes that are not UTF-8 and control characters but tab and newline
// become U+FFFD. White space at both ends goes.
func Printable(s string, limit int) string {
	if len(s) > limit {
		s = s[len(s)-limit:]
		for len(s) > 0 && !utf8.RuneStart(s[0]) {
			s = s[1:]
		}
	}
	s = strings.ReplaceAll(s, "\r\n", "\n")
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && !unicode.IsPrint(r) {
			return utf8.RuneError
		}
		return r
	}, s))
}

// Line returns the beginning of s, at most limit bytes, as one printable line.
func Line(s string, limit int) string {
	if len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "") // a character may be cut in two
	}
	return strings.Join(strings.Fields(Printable(s, len(s))), " ")
}
