package config

import (
	"errors"
	"fmt"
	"strings"

	"github.com/BurntSushi/toml"
)

// maxDepth bounds the nesting of values and the parts of a key. The TOML parser has
// no bound of its own and its recursion would exhaust the stack.
const maxDepth = 16

// More bounds, far above what recipes need, so that none takes long to read.
const (
	maxItems = 10_000 // keys and elements of arrays
	maxPath  = 1000   // bytes of a key with those of its tables
)

var (
	errTooDeep = errors.New("nested deeper than 16 levels")
	errTooMany = fmt.Errorf("more than %d keys and elements of arrays", maxItems)
	errTooLong = fmt.Errorf("key with more than %d bytes", maxPath)
)

// span is where a key and its value begin, as byte offsets.
type span struct{ key, value int }

// layout is where everything is in a TOML text.
type layout struct {
	spans map[string]span // by dotted path
	again map[int]string  // offset of a key that was set before → path
}

// locate finds the keys of text. Where text is not valid TOML it does what it can
// and leaves the complaint to the parser; it fails only on what is beyond a bound, and
// returns its offset.
func locate(text string) (layout, int, error) {
	s := scanner{text: text, layout: layout{map[string]span{}, map[int]string{}}}
	err := s.document()
	return s.layout, s.pos, err
}

type scanner struct {
	text   string
	pos    int
	items  int
	layout layout
}

// peek returns the next byte, 0 at the end.
func (s *scanner) peek() byte {
	if s.pos < len(s.text) {
		return s.text[s.pos]
	}
	return 0
}

func (s *scanner) has(prefix string) bool { return strings.HasPrefix(s.text[s.pos:], prefix) }

func (s *scanner) skip(set string) {
	for s.pos < len(s.text) && strings.IndexByte(set, s.text[s.pos]) >= 0 {
		s.pos++
	}
}

// skipLine moves to the end of the line.
func (s *scanner) skipLine() {
	if i := strings.IndexByte(s.text[s.pos:], '\n'); i >= 0 {
		s.pos += i
		return
	}
	s.pos = len(s.text)
}

// skipSpace moves over white space, newlines and comments.
func (s *scanner) skipSpace() {
	for s.skip(" \t\r\n"); s.peek() == '#'; s.skip(" \t\r\n") {
		s.skipLine()
	}
}

func (s *scanner) document() error {
	prefix := ""
	headers := map[string]bool{}
	for {
		s.skipSpace()
		if s.pos >= len(s.text) {
			return nil
		}
		begin := s.pos
		if s.peek() == '[' {
			path, err := s.header(headers)
			if err != nil {
				return err
			}
			prefix = path
			continue
		}
		if err := s.pair(prefix, 0); err != nil {
			return err
		}
		if s.pos == begin {
			s.pos++ // not TOML; the parser will say so
		}
	}
}

// header reads [key] or [[key]] and the rest of its line; seen holds the former.
func (s *scanner) header(seen map[string]bool) (string, error) {
	array := s.has("[[")
	s.skip("[ \t")
	begin := s.pos
	path, err := s.key("")
	if err != nil {
		return "", err
	}
	if _, ok := s.layout.spans[path]; !ok {
		s.layout.spans[path] = span{begin, begin}
	}
	if seen[path] {
		s.layout.again[begin] = path
	}
	seen[path] = !array
	s.skipLine()
	return path, nil
}

// pair reads key = value.
func (s *scanner) pair(prefix string, depth int) error {
	begin := s.pos
	path, err := s.key(prefix)
	if err != nil {
		return err
	}
	s.skip(" \t")
	if s.pos == begin || s.peek() != '=' {
		return nil
	}
	s.pos++
	s.skip(" \t")
	if old, ok := s.layout.spans[path]; !ok {
		s.layout.spans[path] = span{begin, s.pos}
	} else if old.key != begin {
		s.layout.again[begin] = path
	}
	return s.value(path, depth)
}

// key reads a dotted key and returns it below prefix.
func (s *scanner) key(prefix string) (string, error) {
	path, begin := prefix, s.pos
	for parts := strings.Count(prefix, ".") + 1; ; parts++ {
		if parts > maxDepth {
			return "", errTooDeep
		}
		part := s.keyPart()
		if len(path)+len(part) > maxPath {
			s.pos = begin
			return "", errTooLong
		}
		if s.items++; s.items > maxItems {
			return "", errTooMany
		}
		path = join(path, part)
		s.skip(" \t")
		if s.peek() != '.' {
			return path, nil
		}
		if _, ok := s.layout.spans[path]; !ok {
			s.layout.spans[path] = span{begin, begin}
		}
		s.pos++
		s.skip(" \t")
	}
}

func (s *scanner) keyPart() string {
	begin := s.pos
	if c := s.peek(); c == '"' || c == '\'' {
		s.quoted(s.text[s.pos : s.pos+1])
		if raw := s.text[begin+1 : max(begin+1, s.pos-1)]; !strings.Contains(raw, `\`) {
			return raw
		}
		var k map[string]any
		if _, err := toml.Decode(s.text[begin:s.pos]+" = 0", &k); err == nil {
			for name := range k {
				return name
			}
		}
		return s.text[begin:s.pos]
	}
	for s.pos < len(s.text) && isBare(s.text[s.pos]) {
		s.pos++
	}
	return s.text[begin:s.pos]
}

func isBare(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-'
}

// value skips a value, noting the keys of inline tables.
func (s *scanner) value(path string, depth int) error {
	if depth > maxDepth {
		return errTooDeep
	}
	switch {
	case s.has(`"""`) || s.has("'''"):
		s.quoted(s.text[s.pos : s.pos+3])
	case s.peek() == '"' || s.peek() == '\'':
		s.quoted(s.text[s.pos : s.pos+1])
	case s.peek() == '[':
		return s.list(']', func() error { return s.value(path, depth+1) })
	case s.peek() == '{':
		return s.list('}', func() error { return s.pair(path, depth+1) })
	default:
		for s.pos < len(s.text) && strings.IndexByte(",]}#\r\n", s.text[s.pos]) < 0 {
			s.pos++
		}
	}
	return nil
}

// list reads the elements of an array or inline table up to end.
func (s *scanner) list(end byte, element func() error) error {
	s.pos++
	for {
		s.skipSpace()
		if s.pos >= len(s.text) {
			return nil
		}
		if s.peek() == end {
			s.pos++
			return nil
		}
		if s.items++; s.items > maxItems {
			return errTooMany
		}
		begin := s.pos
		if err := element(); err != nil {
			return err
		}
		s.skipSpace()
		if s.peek() == ',' || s.pos == begin {
			s.pos++
		}
	}
}

// quoted skips a string that begins and ends with quote.
func (s *scanner) quoted(quote string) {
	s.pos += len(quote)
	for s.pos < len(s.text) {
		switch {
		case s.peek() == '\\' && quote[0] == '"':
			s.pos += 2
		case s.has(quote):
			s.pos += len(quote)
			if len(quote) == 3 { // up to two quotes may precede the closing ones
				s.skip(quote[:1])
			}
			return
		case s.peek() == '\n' && len(quote) == 1:
			return // not TOML
		default:
			s.pos++
		}
	}
	s.pos = len(s.text)
}

// join returns the dotted path of key below prefix.
func join(prefix, key string) string {
	if key == "" || strings.ContainsFunc(key, func(r rune) bool { return r > 0x7f || !isBare(byte(r)) }) {
		key = quote(key)
	}
	if prefix == "" {
		return key
	}
	return prefix + "." + key
}
