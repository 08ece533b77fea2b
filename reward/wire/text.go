package wire

import (
	"strings"
	"unicode/utf8"

	"flowgrpo/internal/display"
)

// Printable returns the end of s, at most limit bytes, as [display.Text]. White space at both
// ends goes.
func Printable(s string, limit int) string {
	if len(s) > limit {
		s = s[len(s)-limit:]
		for len(s) > 0 && !utf8.RuneStart(s[0]) {
			s = s[1:]
		}
	}
	return strings.TrimSpace(display.Text(s))
}

// Line returns the beginning of s, at most limit bytes, as one printable line.
func Line(s string, limit int) string {
	if len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "") // a character may be cut in two
	}
	return strings.Join(strings.Fields(Printable(s, len(s))), " ")
}
