package safetensors

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	maxHeader   = 100_000_000 // bytes, set by the specification
	maxRank     = 32          // ours; the specification sets none
	metadataKey = "__metadata__"
)

// entry is one tensor of a header; its data are bytes begin..end of the data part.
type entry struct {
	Tensor
	count      int
	begin, end int
}

// parseHeader returns the tensors in the order of their data, and the metadata.
// size is the number of data bytes that follow the header.
func parseHeader(header []byte, size int) ([]entry, map[string]string, error) {
	if err := checkJSON(header); err != nil {
		return nil, nil, err
	}
	var entries []entry
	var meta map[string]string
	err := eachMember(header, func(name string, value []byte) (err error) {
		if name == metadataKey {
			meta, err = parseMetadata(value)
			return err
		}
		e, err := parseEntry(name, value, size)
		entries = append(entries, e)
		return err
	})
	var dup duplicateError
	if errors.As(err, &dup) {
		return nil, nil, fmt.Errorf("tensor %q is defined twice; duplicate names are not allowed", clip(string(dup)))
	}
	if err != nil {
		return nil, nil, err
	}
	slices.SortFunc(entries, func(a, b entry) int {
		if a.begin != b.begin {
			return a.begin - b.begin
		}
		if a.end != b.end {
			return a.end - b.end
		}
		return strings.Compare(a.Name, b.Name)
	})
	return entries, meta, checkCover(entries, size)
}

// checkCover requires that the entries, in order, use every data byte once.
func checkCover(entries []entry, size int) error {
	end := 0
	for i, e := range entries {
		switch {
		case e.begin > end:
			return fmt.Errorf("bytes %d..%d belong to no tensor (holes are not allowed)", end, e.begin)
		case e.begin < end:
			return fmt.Errorf("bytes %d..%d belong to both %q and %q", e.begin, min(e.end, end), clip(entries[i-1].Name), clip(e.Name))
		}
		end = e.end
	}
	if end != size {
		return fmt.Errorf("%d bytes after the last tensor", size-end)
	}
	return nil
}

func parseMetadata(value []byte) (map[string]string, error) {
	meta := map[string]string{}
	err := eachMember(value, func(key string, v []byte) error {
		if v[0] != '"' {
			return fmt.Errorf("%s %q must be a string, found %s", metadataKey, clip(key), clip(string(v)))
		}
		s, err := parseString(v)
		meta[key] = s
		return err
	})
	var dup duplicateError
	if errors.As(err, &dup) {
		err = fmt.Errorf("%s %q is defined twice", metadataKey, clip(string(dup)))
	}
	return meta, err
}

func parseEntry(name string, value []byte, size int) (e entry, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("tensor %q: %w", clip(name), err)
		}
	}()
	e.Name = name
	var offsets []int
	var seen int
	err = eachMember(value, func(key string, v []byte) (err error) {
		seen++
		switch key {
		case "dtype":
			e.DType, err = parseDType(v)
		case "shape":
			e.Shape, err = parseInts("shape", v)
		case "data_offsets":
			offsets, err = parseInts("data_offsets", v)
		default:
			err = fmt.Errorf("unknown field %q", clip(key))
		}
		return err
	})
	var dup duplicateError
	switch {
	case errors.As(err, &dup):
		return e, fmt.Errorf("%q is defined twice", clip(string(dup)))
	case err != nil:
		return e, err
	case seen != 3:
		return e, errors.New("needs dtype, shape and data_offsets")
	}
	if len(offsets) != 2 || offsets[0] > offsets[1] || offsets[1] > size {
		return e, fmt.Errorf("data_offsets %v are not a range inside the %d data bytes", offsets, size)
	}
	e.begin, e.end = offsets[0], offsets[1]
	n, ok := elements(e.Shape, e.DType)
	if !ok {
		return e, fmt.Errorf("shape %v overflows the size computation", e.Shape)
	}
	e.count = n
	if need := n * e.DType.Size(); need != e.end-e.begin {
		return e, fmt.Errorf("%s %v needs %d bytes, data_offsets give %d", e.DType, e.Shape, need, e.end-e.begin)
	}
	return e, nil
}

func parseDType(v []byte) (DType, error) {
	s, err := parseString(v)
	if err != nil {
		return "", fmt.Errorf("dtype must be a string, found %s", clip(string(v)))
	}
	if slices.Contains(dtypes, DType(s)) {
		return DType(s), nil
	}
	if up := DType(strings.ToUpper(s)); slices.Contains(dtypes, up) {
		return "", fmt.Errorf("unknown dtype %q (did you mean %q?)", clip(s), up)
	}
	return "", fmt.Errorf("dtype %q is not supported; convert the tensor to one of %v", clip(s), dtypes)
}

// parseInts reads a JSON array of whole numbers ≥ 0.
func parseInts(what string, v []byte) ([]int, error) {
	var raw []json.RawMessage
	if v[0] != '[' || json.Unmarshal(v, &raw) != nil {
		return nil, fmt.Errorf("%s must be an array, found %s", what, clip(string(v)))
	}
	if len(raw) > maxRank {
		return nil, fmt.Errorf("%s has %d entries; the limit is %d", what, len(raw), maxRank)
	}
	ints := make([]int, len(raw))
	for i, r := range raw {
		n, err := strconv.ParseUint(string(r), 10, strconv.IntSize-1)
		if errors.Is(err, strconv.ErrRange) {
			return nil, fmt.Errorf("%s[%d] is too large: %s", what, i, clip(string(r)))
		}
		if err != nil {
			return nil, fmt.Errorf("%s[%d] must be a whole number >= 0, found %s", what, i, clip(string(r)))
		}
		ints[i] = int(n)
	}
	return ints, nil
}

func parseString(v []byte) (s string, err error) {
	if len(v) == 0 || v[0] != '"' {
		return "", errors.New("not a string")
	}
	return s, json.Unmarshal(v, &s)
}

// duplicateError is a key that an object holds twice.
type duplicateError string

func (d duplicateError) Error() string { return fmt.Sprintf("key %q is defined twice", string(d)) }

// eachMember calls f for the members of a JSON object in order; encoding/json alone
// would let the last of two equal keys win.
func eachMember(object []byte, f func(key string, value []byte) error) error {
	dec := json.NewDecoder(bytes.NewReader(object))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return fmt.Errorf("must be an object, found %s", clip(string(object)))
	}
	seen := map[string]bool{}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return err
		}
		name := key.(string) // the grammar was checked
		if seen[name] {
			return duplicateError(name)
		}
		seen[name] = true
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return err
		}
		if err := f(name, value); err != nil {
			return err
		}
	}
	return nil
}

// checkJSON requires one JSON object from the first byte on, followed by spaces
// only, in valid Unicode.
func checkJSON(header []byte) error {
	if len(header) == 0 || header[0] != '{' {
		found := "nothing"
		if len(header) > 0 {
			found = strconv.QuoteRune(rune(header[0]))
		}
		return fmt.Errorf("header must begin with '{', found %s", found)
	}
	if i := invalidUTF8(header); i >= 0 {
		return fmt.Errorf("header is not valid UTF-8 at byte %d", i)
	}
	trimmed := bytes.TrimRight(header, " ")
	if trimmed[len(trimmed)-1] != '}' || !json.Valid(trimmed) {
		return errors.New("header is not a JSON object padded with spaces")
	}
	if i := loneSurrogate(header); i >= 0 {
		return fmt.Errorf("header is not valid UTF-8 at byte %d", i)
	}
	return nil
}

func invalidUTF8(b []byte) int {
	if utf8.Valid(b) {
		return -1
	}
	for i := 0; ; {
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n <= 1 {
			return i
		}
		i += n
	}
}

// loneSurrogate returns the position of a \ud800..\udfff escape without partner,
// which encoding/json would replace silently, or -1. b must be valid JSON.
func loneSurrogate(b []byte) int {
	for i := 0; i < len(b); i++ {
		if b[i] != '\\' {
			continue
		}
		i++ // now at the escaped character
		if b[i] != 'u' {
			continue
		}
		switch escape(b[i-1:]) >> 10 {
		case 0xD800 >> 10:
			if escape(b[i+5:])>>10 != 0xDC00>>10 {
				return i - 1
			}
			i += 10
		case 0xDC00 >> 10:
			return i - 1
		default:
			i += 4
		}
	}
	return -1
}

// escape returns the value of the escape, \u and four hexadecimal digits, that b begins
// with, 0 if there is none.
func escape(b []byte) uint64 {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0
	}
	v, err := strconv.ParseUint(string(b[2:6]), 16, 16)
	if err != nil {
		return 0
	}
	return v
}
