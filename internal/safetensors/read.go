package safetensors

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Read reads a file, a sharded file by its .index.json, or the only one of the two
// in a folder. It names path in every error.
func Read(path string) (*File, error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return read(os.DirFS(path), ".", path)
	}
	return read(os.DirFS(filepath.Dir(path)), filepath.Base(path), filepath.Dir(path))
}

// ReadFS is Read within fsys.
func ReadFS(fsys fs.FS, name string) (*File, error) { return read(fsys, name, "") }

// ReadBytes reads a file that is in memory. Data does not alias b.
func ReadBytes(b []byte) (*File, error) {
	f, err := decode(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return nil, fmt.Errorf("safetensors: %w", err)
	}
	f.Path = "safetensors"
	return f, nil
}

// read reads name, which may be a folder, in fsys; dir is fsys's place in messages.
func read(fsys fs.FS, name, dir string) (*File, error) {
	info, err := fs.Stat(fsys, name)
	switch {
	case errors.Is(err, fs.ErrNotExist) && strings.HasSuffix(name, ".safetensors"):
		if _, err := fs.Stat(fsys, name+indexSuffix); err == nil {
			return readSharded(fsys, name+indexSuffix, dir)
		}
	case err == nil && info.IsDir():
		if name, err = only(fsys, name, dir); err != nil {
			return nil, err
		}
	}
	if strings.HasSuffix(name, indexSuffix) {
		return readSharded(fsys, name, dir)
	}
	return readOne(fsys, name, dir)
}

// only returns the index in a folder or, without one, its only .safetensors file.
func only(fsys fs.FS, folder, dir string) (string, error) {
	for _, suffix := range []string{".safetensors" + indexSuffix, ".safetensors"} {
		sub, err := fs.Sub(fsys, folder)
		if err != nil {
			return "", err
		}
		found, err := fs.Glob(sub, "*"+suffix)
		if err != nil {
			return "", err
		}
		switch len(found) {
		case 0:
			continue
		case 1:
			if folder == "." {
				return found[0], nil
			}
			return folder + "/" + found[0], nil
		}
		return "", fmt.Errorf("%s: found %d files that end in %s (%s); name one", filepath.Join(dir, folder), len(found), suffix, clip(strings.Join(found, ", ")))
	}
	return "", fmt.Errorf("%s: no .safetensors file in this folder", filepath.Join(dir, folder))
}

func readOne(fsys fs.FS, name, dir string) (*File, error) {
	path := filepath.Join(dir, filepath.FromSlash(name))
	r, err := fsys.Open(name)
	if err != nil {
		var p *fs.PathError
		if errors.As(err, &p) {
			err = p.Err
		}
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	defer r.Close()
	info, err := r.Stat()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	f, err := decode(r, info.Size())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	f.Path = path
	return f, nil
}

// decode reads a file of size bytes.
func decode(r io.Reader, size int64) (*File, error) {
	if size < 8 {
		return nil, fmt.Errorf("file has %d bytes; a safetensors file needs at least 8", max(size, 0))
	}
	if size > math.MaxInt {
		return nil, fmt.Errorf("file has %d bytes, too many for this machine's address space", size)
	}
	begin := make([]byte, min(size, 16))
	if _, err := io.ReadFull(r, begin); err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint64(begin)
	if n > maxHeader || n > uint64(size-8) || begin[min(8, len(begin)-1)] != '{' {
		if err := foreign(begin); err != nil {
			return nil, err
		}
	}
	if n > maxHeader {
		return nil, fmt.Errorf("header length %d exceeds the limit %d", n, maxHeader)
	}
	if n > uint64(size-8) {
		return nil, fmt.Errorf("header length %d exceeds the file size %d (truncated download?)", n, size)
	}
	header := make([]byte, n)
	rest := io.MultiReader(bytes.NewReader(begin[8:]), r)
	if _, err := io.ReadFull(rest, header); err != nil {
		return nil, err
	}
	entries, meta, err := parseHeader(header, int(size-8)-int(n))
	if err != nil {
		return nil, err
	}
	return readData(rest, entries, meta)
}

// readData reads the values of entries, which are in the order of their data.
func readData(r io.Reader, entries []entry, meta map[string]string) (*File, error) {
	f := &File{Metadata: meta, Tensors: make([]Tensor, len(entries))}
	chunk := make([]byte, 1<<16)
	for i, e := range entries {
		t := e.Tensor
		t.Data = make([]float32, e.count)
		if t.DType == F64 || t.DType == I64 || t.DType == I32 {
			t.Data64 = make([]float64, e.count)
		}
		w := t.DType.Size()
		for at := 0; at < e.count; {
			b := chunk[:min(len(chunk), (e.count-at)*w)]
			if _, err := io.ReadFull(r, b); err != nil {
				return nil, fmt.Errorf("tensor %q: %w", clip(t.Name), err)
			}
			if err := convert(&t, at, b); err != nil {
				return nil, fmt.Errorf("tensor %q: %w", clip(t.Name), err)
			}
			at += len(b) / w
		}
		f.Tensors[i] = t
	}
	slices.SortFunc(f.Tensors, func(a, b Tensor) int { return strings.Compare(a.Name, b.Name) })
	return f, nil
}

// convert stores the elements in b as elements at, at+1, … of t.
func convert(t *Tensor, at int, b []byte) error {
	le := binary.LittleEndian
	w := t.DType.Size()
	for i := at; len(b) > 0; i, b = i+1, b[w:] {
		switch t.DType {
		case F32:
			t.Data[i] = math.Float32frombits(le.Uint32(b))
		case F16:
			t.Data[i] = fromHalf(le.Uint16(b))
		case BF16:
			t.Data[i] = math.Float32frombits(uint32(le.Uint16(b)) << 16)
		case F64:
			t.Data64[i] = math.Float64frombits(le.Uint64(b))
			t.Data[i] = float32(t.Data64[i])
		case I64:
			t.Data64[i] = float64(int64(le.Uint64(b)))
			t.Data[i] = float32(t.Data64[i])
		case I32:
			t.Data64[i] = float64(int32(le.Uint32(b)))
			t.Data[i] = float32(t.Data64[i])
		case U8:
			t.Data[i] = float32(b[0])
		case Bool:
			if b[0] > 1 {
				return fmt.Errorf("element %d is %d; a BOOL is 0 or 1", i, b[0])
			}
			t.Data[i] = float32(b[0])
		}
	}
	return nil
}
