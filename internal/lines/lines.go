// Package lines reads text files that people write, line by line, with errors
// that say where: file:line. It knows what editors do to files: a byte order
// mark in front, CRLF at the ends, no line end after the last line. [HeldOut] sets
// a share of what they list apart.
package lines

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// A Line is one line that is not blank.
type Line struct {
	File string // as given to Split
	No   int    // from 1
	Text string // without the line end, trimmed of white space
}

// Errorf returns an error that starts with the place of l, as in "prompts.txt:3: …".
func (l Line) Errorf(format string, args ...any) error {
	return fmt.Errorf("%s:%d: %w", l.File, l.No, fmt.Errorf(format, args...))
}

var bom = []byte("\ufeff")

// Split returns the lines of data that are not blank. A byte order mark is
// skipped. Text that is not UTF-8, UTF-16 above all, is an error, and so is a
// NUL byte.
func Split(file string, data []byte) ([]Line, error) {
	data = bytes.TrimPrefix(data, bom)
	var out []Line
	no := 0
	for raw := range bytes.Lines(data) {
		no++
		line := Line{file, no, strings.TrimSpace(string(raw))}
		if !utf8.Valid(raw) || bytes.IndexByte(raw, 0) >= 0 {
			return nil, line.Errorf("this is not UTF-8 text; save the file as UTF-8")
		}
		if line.Text != "" {
			out = append(out, line)
		}
	}
	return out, nil
}

// Object decodes the line as one JSON object with nothing after it. A key that
// appears twice is an error.
func (l Line) Object() (map[string]json.RawMessage, error) {
	dec := json.NewDecoder(strings.NewReader(l.Text))
	if tok, err := dec.Token(); err != nil {
		return nil, l.Errorf("not JSON: %w", plain(err))
	} else if tok != json.Delim('{') {
		return nil, l.Errorf("%v is no JSON object, want {…}", tok)
	}
	object := map[string]json.RawMessage{}
	for dec.More() {
		tok, err := dec.Token()
		if err != nil {
			return nil, l.Errorf("not JSON: %w", plain(err))
		}
		key := tok.(string) // the decoder allows nothing else here
		if _, twice := object[key]; twice {
			return nil, l.Errorf("key %q appears twice", key)
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, l.Errorf("key %q: not JSON: %w", key, plain(err))
		}
		object[key] = value
	}
	if _, err := dec.Token(); err != nil {
		return nil, l.Errorf("not JSON: %w", plain(err))
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, l.Errorf("text after the object; write one object per line")
	}
	return object, nil
}

// plain replaces the decoder's EOF, which says nothing to who wrote the file.
func plain(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the line ends inside the object")
	}
	return err
}

// String decodes the value at key of object, which must be a string that is not
// blank. ok tells whether the key is there.
func (l Line) String(object map[string]json.RawMessage, key string) (value string, ok bool, err error) {
	raw, ok := object[key]
	if !ok {
		return "", false, nil
	}
	var s *string
	if err := json.Unmarshal(raw, &s); err != nil || s == nil {
		return "", true, l.Errorf("key %q is %.40s, want a string", key, raw)
	}
	if strings.TrimSpace(*s) == "" {
		return "", true, l.Errorf("key %q is blank", key)
	}
	return *s, true, nil
}
