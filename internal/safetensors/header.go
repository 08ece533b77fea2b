package safetensors

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"flowgrpo/internal/jsonfile"
)

// place is one tensor of a header: its data are count values in the bytes begin..end
// of the data part of a file.
type place struct {
	Entry
	count      int
	begin, end int
	source     *source
}

// parseHeader returns the tensors by name, and the metadata. size is the number of
// data bytes that follow the header.
func parseHeader(header []byte, size int) ([]place, map[string]string, error) {
	if err := checkJSON(header); err != nil {
		return nil, nil, err
	}
	places := make([]place, 0, min(maxTensors, bytes.Count(header, []byte("data_offsets"))))
	var meta map[string]string
	err := jsonfile.Members(header, func(key, value []byte) (err error) {
		switch {
		case string(key) == metadataKey && meta != nil:
			return fmt.Errorf("%s is given twice", metadataKey)
		case string(key) == metadataKey:
			meta, err = parseMetadata(value)
			return err
		case len(places) == maxTensors:
			return fmt.Errorf("more tensors than the limit %d", maxTensors)
		}
		p, err := parsePlace(string(key), value, size)
		places = append(places, p)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	slices.SortFunc(places, func(a, b place) int { return strings.Compare(a.Name, b.Name) })
	for i := range places {
		if i > 0 && places[i].Name == places[i-1].Name {
			return nil, nil, fmt.Errorf("tensor %q is defined twice; duplicate names are not allowed", clip(places[i].Name))
		}
	}
	return places, meta, checkCover(places, size)
}

// checkCover requires that the places use every data byte once.
func checkCover(places []place, size int) error {
	order := make([]*place, len(places))
	for i := range places {
		order[i] = &places[i]
	}
	slices.SortStableFunc(order, func(a, b *place) int {
		return cmp.Or(cmp.Compare(a.begin, b.begin), cmp.Compare(a.end, b.end))
	})
	end := 0
	for i, p := range order {
		switch {
		case p.begin > end:
			return fmt.Errorf("bytes %d..%d belong to no tensor (holes are not allowed)", end, p.begin)
		case p.begin < end:
			return fmt.Errorf("bytes %d..%d belong to both %q and %q", p.begin, min(p.end, end), clip(order[i-1].Name), clip(p.Name))
		}
		end = p.end
	}
	if end != size {
		return fmt.Errorf("%d bytes after the last tensor", size-end)
	}
	return nil
}

func parseMetadata(object []byte) (map[string]string, error) {
	if object[0] != '{' {
		return nil, fmt.Errorf("%s must be an object, found %s", metadataKey, clip(string(object)))
	}
	meta := map[string]string{}
	return meta, jsonfile.Members(object, func(key, value []byte) error {
		s, err := jsonfile.Unquote(value)
		if err != nil {
			return fmt.Errorf("%s %q must be a string, found %s", metadataKey, clip(string(key)), clip(string(value)))
		}
		if _, twice := meta[string(key)]; twice {
			return fmt.Errorf("%s %q is defined twice", metadataKey, clip(string(key)))
		}
		meta[string(key)] = string(s)
		return nil
	})
}

func parsePlace(name string, object []byte, size int) (p place, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("tensor %q: %w", clip(name), err)
		}
	}()
	if len(name) > maxName {
		return p, fmt.Errorf("the name has %d bytes; the limit is %d", len(name), maxName)
	}
	p.Name = name
	offsets, err := parseFields(&p.Entry, object)
	if err != nil {
		return p, err
	}
	if len(offsets) != 2 || offsets[0] > offsets[1] || offsets[1] > size {
		return p, fmt.Errorf("data_offsets %v are not a range inside the %d data bytes", offsets, size)
	}
	p.begin, p.end = offsets[0], offsets[1]
	count, need, ok := sizeOf(p.Shape, p.DType)
	if !ok {
		return p, fmt.Errorf("shape %v overflows the size computation", p.Shape)
	}
	if need != p.end-p.begin {
		return p, fmt.Errorf("%s %v needs %d bytes, data_offsets give %d", p.DType, p.Shape, need, p.end-p.begin)
	}
	p.count = count
	return p, nil
}

// parseFields reads the three fields of a tensor, each of which must be there once.
func parseFields(e *Entry, object []byte) (offsets []int, err error) {
	var seen [3]bool
	fields := []string{"dtype", "shape", "data_offsets"}
	err = jsonfile.Members(object, func(key, value []byte) (err error) {
		i := slices.Index(fields, string(key))
		switch {
		case i < 0:
			return fmt.Errorf("unknown field %q", clip(string(key)))
		case seen[i]:
			return fmt.Errorf("%q is defined twice", fields[i])
		}
		seen[i] = true
		switch i {
		case 0:
			e.DType, err = parseDType(value)
		case 1:
			e.Shape, err = parseInts("shape", value)
		case 2:
			offsets, err = parseInts("data_offsets", value)
		}
		return err
	})
	if err == nil && seen != [3]bool{true, true, true} {
		err = errors.New("needs dtype, shape and data_offsets")
	}
	return offsets, err
}

func parseDType(v []byte) (DType, error) {
	s, err := jsonfile.Unquote(v)
	if err != nil {
		return "", fmt.Errorf("dtype must be a string, found %s", clip(string(v)))
	}
	for _, d := range dtypes {
		if string(s) == string(d) {
			return d, nil
		}
	}
	if up := DType(strings.ToUpper(string(s))); slices.Contains(dtypes, up) {
		return "", fmt.Errorf("unknown dtype %q (did you mean %q?)", clip(string(s)), up)
	}
	return "", fmt.Errorf("dtype %q is not supported; convert the tensor to one of %v", clip(string(s)), dtypes)
}

// parseInts reads a JSON array of whole numbers ≥ 0.
func parseInts(what string, v []byte) ([]int, error) {
	if v[0] != '[' {
		return nil, fmt.Errorf("%s must be an array, found %s", what, clip(string(v)))
	}
	n := bytes.Count(v, []byte{','}) + 1
	if n > maxRank {
		return nil, fmt.Errorf("%s has %d entries; the limit is %d", what, n, maxRank)
	}
	ints := make([]int, 0, n)
	err := jsonfile.Elements(v, func(item []byte) error {
		x, err := strconv.ParseUint(string(item), 10, strconv.IntSize-1)
		if errors.Is(err, strconv.ErrRange) {
			return fmt.Errorf("%s[%d] is too large: %s", what, len(ints), clip(string(item)))
		}
		if err != nil {
			return fmt.Errorf("%s[%d] must be a whole number >= 0, found %s", what, len(ints), clip(string(item)))
		}
		ints = append(ints, int(x))
		return nil
	})
	return ints, err
}
