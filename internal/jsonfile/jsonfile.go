// Package jsonfile reads JSON more strictly than encoding/json does, which lets the last of
// two equal keys win, takes keys in any case, and replaces what is not Unicode.
package jsonfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"reflect"
	"strings"
)

const (
	// maxSize bounds the files that are read, in bytes.
	maxSize = 64 << 20
	// maxDepth bounds the nesting of objects and arrays.
	maxDepth = 32
)

// Read decodes a file into dst as [Decode] does. A missing file is fs.ErrNotExist.
func Read(fsys fs.FS, name string, dst any, strict bool) error {
	f, err := fsys.Open(name)
	if err != nil {
		return err
	}
	return decodeFile(name, f, dst, strict)
}

// ReadFile is Read for the file at a path of the system.
func ReadFile(path string, dst any, strict bool) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return decodeFile(path, f, dst, strict)
}

func decodeFile(name string, f io.ReadCloser, dst any, strict bool) error {
	defer f.Close() // read only
	data, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if len(data) > maxSize {
		return fmt.Errorf("%s: has more than %d bytes", name, maxSize)
	}
	return Decode(name, data, dst, strict)
}

// Decode decodes data, one JSON value, into what dst points to; fields keep their values
// where data has none. Besides grammar and wrong types, errors are: a key that comes twice
// or in another case than that of the field, text that is not Unicode, and nesting deeper
// than 32 levels. If strict, in files of our own, so are keys that dst lacks, and null for a
// number, text or truth value: files of other programs gain keys with their versions, and
// write null for what is not set. Errors begin with name and the place, if name is not "".
func Decode(name string, data []byte, dst any, strict bool) error {
	at, err := wellFormed(data)
	if err == nil {
		at = -1
		if err = (checker{strict}).value(Trim(data), reflect.TypeOf(dst).Elem()); err == nil {
			err = json.Unmarshal(data, dst) // wrong for types that unmarshal themselves
		}
	}
	switch {
	case err == nil:
		return nil
	case name == "":
		return err
	case at < 0:
		return fmt.Errorf("%s: %w", name, err)
	}
	line := bytes.Count(data[:at], []byte("\n"))
	return fmt.Errorf("%s:%d:%d: %w", name, line+1, at-bytes.LastIndexByte(data[:at], '\n'), err)
}

// wellFormed returns what is wrong with data apart from its meaning, and where; a place of
// less than 0 is none.
func wellFormed(data []byte) (at int, err error) {
	if len(Trim(data)) == 0 {
		return -1, errors.New("is empty")
	}
	if i := InvalidUTF8(data); i >= 0 {
		return i, errors.New("this is not UTF-8 text")
	}
	if i := TooDeep(data, maxDepth); i >= 0 {
		return i, fmt.Errorf("nested deeper than %d levels", maxDepth)
	}
	if !json.Valid(data) {
		return explain(data)
	}
	if i := LoneSurrogate(data); i >= 0 {
		return i, errors.New("half of a surrogate pair is no character")
	}
	return -1, nil
}

// Trim returns data without the white space of JSON at its ends, which is less than that of
// Unicode.
func Trim(data []byte) []byte { return bytes.Trim(data, " \t\r\n") }

// explain returns what the grammar has against data.
func explain(data []byte) (at int, err error) {
	var syntax *json.SyntaxError
	if err = json.Unmarshal(data, new(json.RawMessage)); !errors.As(err, &syntax) {
		return -1, err
	}
	at = max(0, int(syntax.Offset)-1)
	switch message := syntax.Error(); {
	case strings.Contains(message, "unexpected end"):
		return -1, errors.New("ends too early")
	case strings.Contains(message, "after top-level value"):
		return at, errors.New("more than one JSON value")
	}
	return at, fmt.Errorf("not JSON: %w", err)
}

// TooDeep returns where JSON is nested in more than limit levels, or -1. It counts brackets,
// so that no decoder has to climb into what is hostile.
func TooDeep(data []byte, limit int) int {
	depth, quoted := 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case c == '"':
			quoted = !quoted
		case quoted && c == '\\':
			i++
		case quoted:
		case c == '[' || c == '{':
			if depth++; depth > limit {
				return i
			}
		case c == ']' || c == '}':
			depth--
		}
	}
	return -1
}
