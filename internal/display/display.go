// Package display makes text of unknown origin harmless where it is shown: prompts, names and
// errors of plugins on a terminal, in Markdown and in pictures.
package display

import (
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Shows reports whether r is shown as a character, or as nothing, where it stands. Control
// characters, which begin the escape sequences of terminals, are not; nor are line and
// paragraph separators, byte order marks, and what changes the direction of the text
// around it.
func Shows(r rune) bool {
	return r != utf8.RuneError && !unicode.IsControl(r) && !unicode.Is(unicode.Bidi_Control, r) && r != 0x2028 && r != 0x2029 && r != 0xfeff
}

// Text returns s with U+FFFD in the place of every character that does not show, but for
// line ends and tabs, and of what is not UTF-8.
func Text(s string) string {
	s = strings.ReplaceAll(s, "\r\n", "\n")
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || Shows(r) {
			return r
		}
		return utf8.RuneError
	}, s)
}

// Writer returns a writer to w of the [Text] of what is written. A character must not be
// cut in two by calls of Write.
func Writer(w io.Writer) io.Writer { return writer{w} }

type writer struct{ w io.Writer }

// Write implements io.Writer.
func (w writer) Write(p []byte) (int, error) {
	if _, err := io.WriteString(w.w, Text(string(p))); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Markdown returns s as one line of text within Markdown: nothing in it is a mark, an
// element of HTML, or the end of a table's cell.
func Markdown(s string) string {
	var b strings.Builder
	for _, r := range strings.Join(strings.Fields(Text(s)), " ") {
		switch {
		case r == '<':
			b.WriteString("&lt;")
		case r == '&':
			b.WriteString("&amp;")
		case strings.ContainsRune("\\`*_{}[]()#!|~$>", r):
			b.WriteByte('\\')
			fallthrough
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
