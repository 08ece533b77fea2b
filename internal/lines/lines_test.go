package lines

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"unicode/utf8"

	"flowgrpo/internal/costtest"
)

// frozenSplit was computed by Python's hashlib: SHA-256 over the seed as 8
// little-endian bytes and the name, of which the first 53 bits count.
const frozenSplit = "10001000101000000000100010011001"

func TestSplit(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		data, want, reason string
	}{
		{"", "", "empty file"},
		{"a\nb\n", "1:a 2:b", "the usual"},
		{"a\nb", "1:a 2:b", "no line end at the end"},
		{"a\r\n\r\nb\r\n", "1:a 3:b", "CRLF; blank lines count but do not appear"},
		{"\ufeffa\n", "1:a", "a byte order mark is not text"},
		{"\ufeff", "", "nothing but a byte order mark"},
		{"  a b\t\n", "1:a b", "trimmed outside, not inside"},
	} {
		got, err := Split("f", []byte(c.data))
		if err != nil {
			t.Errorf("Split(%q): %v", c.data, err)
		}
		var list []string
		for _, l := range got {
			list = append(list, fmt.Sprintf("%d:%s", l.No, l.Text))
		}
		if s := strings.Join(list, " "); s != c.want {
			t.Errorf("Split(%q) = %q, want %q: %s", c.data, s, c.want, c.reason)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	t.Parallel()
	for data, want := range map[string]string{
		"ok\n\xff\xfea\x00":                   "f.txt:2: NUL at byte 3; this may be UTF-16: save the file as UTF-8",
		"ok\na\x00b":                          "f.txt:2: NUL at byte 1; this may be UTF-16: save the file as UTF-8",
		"ok\ncaf\xe9":                         "f.txt:2: invalid UTF-8 at byte 3; save the file as UTF-8",
		"\n" + strings.Repeat("x", maxLine+1): "f.txt:2: the line has 65537 bytes; the limit is 65536",
	} {
		if _, err := Read("f.txt", strings.NewReader(data)); err == nil || err.Error() != want {
			t.Errorf("%.20q: error %v, want %s", data, err, want)
		}
	}
	if list, err := Split("f.txt", []byte(strings.Repeat("x", maxLine)+"\n")); err != nil || len(list) != 1 {
		t.Errorf("the longest line: %v", err)
	}
}

func TestObject(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want string }{
		{`{"a":1}`, ""},
		{` { "a" : [1, {"b":null}] } `, ""},
		{`{}`, ""},
		{`[1]`, "f:7: found [1], want an object"},
		{`"x"`, `f:7: found "x", want an object`},
		{`null`, "f:7: found null, want an object"},
		{`{"a":1,"a":2}`, `f:7: key "a" appears twice`},
		{`{"a":{"b":[{"c":1,"c":2}]}}`, `f:7: key "a.b[0].c" appears twice`},
		{`{"a":"\udead"}`, "f:7: half of a surrogate pair"},
		{`{"a":` + strings.Repeat("[", 99), "f:7: nested deeper than 32 levels"},
		{`{"a":1} {"b":2}`, "f:7: more than one JSON value"},
		{`{"a":1} x`, "f:7: more than one JSON value"},
		{`{"a":`, "f:7: ends too early"},
		{`{"a":1`, "f:7: ends too early"},
		{`{`, "f:7: ends too early"},
		{`hello`, "f:7: not JSON: invalid character 'h' looking for beginning of value"},
		{`{a:1}`, "f:7: not JSON: invalid character 'a'"},
	} {
		_, err := Line{"f", 7, c.text}.Object()
		got := ""
		if err != nil {
			got = err.Error()
		}
		if c.want == "" && got != "" || !strings.HasPrefix(got, c.want) {
			t.Errorf("Object(%s): error %q, want %q", c.text, got, c.want)
		}
	}
}

func TestHeldOut(t *testing.T) {
	t.Parallel()
	const n = 20000
	// 5 standard deviations of a binomial count: a pure function either passes
	// for ever or fails for ever.
	for _, fraction := range []float64{0, .1, .5, .9} {
		count := 0
		for i := range n {
			if HeldOut(1, fmt.Sprint(i), fraction) {
				count++
			}
		}
		want, tolerance := fraction*n, 5*math.Sqrt(fraction*(1-fraction)*n)
		if math.Abs(float64(count)-want) > tolerance {
			t.Errorf("fraction %v held out %d of %d, want %v ± %.0f", fraction, count, n, want, tolerance)
		}
	}
	same, nested := 0, true
	for i := range n {
		name := fmt.Sprint(i)
		if HeldOut(1, name, .5) == HeldOut(2, name, .5) {
			same++
		}
		nested = nested && (!HeldOut(1, name, .1) || HeldOut(1, name, .2))
	}
	if math.Abs(float64(same)-n/2) > 5*math.Sqrt(n/4) {
		t.Errorf("two seeds agree on %d of %d names, want about half", same, n)
	}
	if !nested {
		t.Error("a larger fraction must hold out a superset")
	}
}

// The split is part of what a published result means, so it is frozen.
func TestHeldOutIsFrozen(t *testing.T) {
	t.Parallel()
	got := ""
	for i := range 32 {
		got += map[bool]string{true: "1", false: "0"}[HeldOut(42, fmt.Sprintf("%d.png", i), .3)]
	}
	if want := frozenSplit; got != want {
		t.Errorf("held out %s, want %s: this change would move pictures between training and evaluation", got, want)
	}
}

func FuzzObject(f *testing.F) {
	f.Add([]byte(`{"prompt":"a","id":3}`))
	f.Add([]byte("\ufeff{\"a\":{}}\r\n[]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var list []Line
		var err error
		costtest.Bounded(t, len(data), func() {
			if list, err = Split("f", data); err != nil {
				return
			}
			for _, l := range list {
				_, _ = l.Object() // looked at below
			}
		})
		if err != nil {
			return
		}
		for _, l := range list {
			object, err := l.Object()
			if err != nil {
				continue
			}
			if !json.Valid([]byte(l.Text)) || !utf8.ValidString(l.Text) {
				t.Fatalf("accepted %q", l.Text)
			}
			for key := range object {
				l.String(object, key)
			}
		}
	})
}
