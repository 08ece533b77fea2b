// Package lines reads text files that people write, line by line, with errors
// that say where: file:line. It knows what editors do to files: a byte order
// mark in front, CRLF at the ends, no line end after the last line. [HeldOut] sets
// a share of what they list apart.
package lines

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"flowgrpo/internal/jsonfile"
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

// The most that is read, in bytes.
const (
	maxFile = 256 << 20
	maxLine = 64 << 10
)

// Read returns the lines of r, which is called file, as [Split] does. More than 256 MiB are
// an error.
func Read(file string, r io.Reader) ([]Line, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("%s: the file has more than %d bytes", file, maxFile)
	}
	return Split(file, data)
}

// Split returns the lines of data that are not blank. A byte order mark is
// skipped. Text that is not UTF-8, UTF-16 above all, is an error, and so is a
// NUL byte and a line of more than 64 KiB.
func Split(file string, data []byte) ([]Line, error) {
	data = bytes.TrimPrefix(data, bom)
	var out []Line
	no := 0
	for raw := range bytes.Lines(data) {
		no++
		line := Line{file, no, strings.TrimSpace(string(raw))}
		if i := bytes.IndexByte(raw, 0); i >= 0 {
			return nil, line.Errorf("NUL at byte %d; this may be UTF-16: save the file as UTF-8", i)
		}
		if i := jsonfile.InvalidUTF8(raw); i >= 0 {
			return nil, line.Errorf("invalid UTF-8 at byte %d; save the file as UTF-8", i)
		}
		if len(line.Text) > maxLine {
			return nil, line.Errorf("the line has %d bytes; the limit is %d", len(line.Text), maxLine)
		}
		if line.Text != "" {
			out = append(out, line)
		}
	}
	return out, nil
}

// Object decodes the line as one JSON object with nothing after it. A key that
// appears twice, at any depth, is an error.
func (l Line) Object() (map[string]json.RawMessage, error) {
	var object map[string]json.RawMessage
	if err := jsonfile.Decode("", []byte(l.Text), &object, true); err != nil {
		return nil, l.Errorf("%w", err)
	}
	if object == nil { // null
		return nil, l.Errorf("found null, want an object")
	}
	return object, nil
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
	if strings.ContainsRune(*s, 0) {
		return "", true, l.Errorf("key %q holds a NUL character", key)
	}
	return *s, true, nil
}
