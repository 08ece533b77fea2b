package display

import (
	"fmt"
	"strings"
	"testing"
)

func TestText(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ s, want, reason string }{
		{"a sign\tthat says\n\"É 你好 🏳️‍🌈\"", "a sign\tthat says\n\"É 你好 🏳️‍🌈\"", "text is left as it is"},
		{"\x1b[31mred\x1b[0m", "\ufffd[31mred\ufffd[0m", "colours"},
		{"\x1b]0;title\a", "\ufffd]0;title\ufffd", "the title of the window"},
		{"\u009b2J\x9b2J", "\ufffd2J\ufffd2J", "one-byte and two-byte forms of the same sequence"},
		{"100 %\rOK   ", "100 %\ufffdOK   ", "overwriting a line"},
		{"a\r\nb", "a\nb", "line ends of Windows"},
		{"a\b\x7f\x00", "a\ufffd\ufffd\ufffd", "erasing"},
		{"safe\u202egnp.exe\u2066\u200f", "safe\ufffdgnp.exe\ufffd\ufffd", "direction of text"},
		{"a\u2028b\ufeff", "a\ufffdb\ufffd", "line ends in disguise"},
		{"caf\xe9", "caf\ufffd", "another encoding"},
	} {
		var b strings.Builder
		if _, err := fmt.Fprint(Writer(&b), tc.s); err != nil {
			t.Fatal(err)
		}
		if got := Text(tc.s); got != tc.want || b.String() != tc.want {
			t.Errorf("%s: %q and, written, %q, want %q", tc.reason, got, b.String(), tc.want)
		}
	}
}

func TestMarkdown(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{
		"two rings, 95 %":         "two rings, 95 %",
		"a | b\n# c":              `a \| b \# c`,
		"<img src=x>&lt;":         `&lt;img src=x\>&amp;lt;`,
		"[x](javascript:y) `c` $": "\\[x\\]\\(javascript:y\\) \\`c\\` \\$",
		`\`:                       `\\`,
	} {
		if got := Markdown(s); got != want {
			t.Errorf("%q: %q, want %q", s, got, want)
		}
	}
}
