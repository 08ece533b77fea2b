// Package jsonfile reads the JSON files of model folders.
package jsonfile

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
)

// maxSize bounds the files that are read, in bytes.
const maxSize = 64 << 20

// Read decodes a file into dst, whose fields keep their values where the file has none.
// Keys that dst lacks are an error if strict: in files of our own. Files of other programs
// gain keys with their versions. Errors name the file; a missing one is fs.ErrNotExist.
func Read(fsys fs.FS, name string, dst any, strict bool) error {
	f, err := fsys.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	d := json.NewDecoder(io.LimitReader(f, maxSize))
	if strict {
		d.DisallowUnknownFields()
	}
	if err := d.Decode(dst); err != nil {
		return fmt.Errorf("%s: %w", name, Explain(err))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: more than one JSON value", name)
	}
	return nil
}

// Explain says in terms of the file what encoding/json says in terms of Go.
func Explain(err error) error {
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrong):
		key := wrong.Field[strings.LastIndex(wrong.Field, ".")+1:] // before it may be names of Go
		return fmt.Errorf("%s is a %s, want %s", key, wrong.Value, wrong.Type)
	case errors.Is(err, io.EOF):
		return errors.New("the file is empty")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the file ends too early")
	}
	return err
}
