package safetensors

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
)

// Read reads the header of a file, the headers of a sharded file by its .index.json,
// or those of the only one of the two in a folder. It names path in every error.
func Read(path string) (*File, error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return read(os.DirFS(path), ".", path)
	}
	return read(os.DirFS(filepath.Dir(path)), filepath.Base(path), filepath.Dir(path))
}

// ReadFS is Read within fsys.
func ReadFS(fsys fs.FS, name string) (*File, error) { return read(fsys, name, "") }

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

// source is one file: size bytes, of which the first begin are before the data.
type source struct {
	fsys        fs.FS
	name, path  string // in fsys, and for messages
	size, begin int64
}

// readOne reads the header of one file.
func readOne(fsys fs.FS, name, dir string) (*File, error) {
	s := &source{fsys: fsys, name: name, path: filepath.Join(dir, filepath.FromSlash(name))}
	r, size, err := s.open()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.path, err)
	}
	defer r.Close() // read only
	s.size = size
	places, meta, err := s.readHeader(r)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.path, err)
	}
	for i := range places {
		places[i].source = s
	}
	return &File{Path: s.path, Metadata: meta, tensors: places}, nil
}

// open opens the file and returns its size.
func (s *source) open() (fs.File, int64, error) {
	r, err := s.fsys.Open(s.name)
	if err != nil {
		var p *fs.PathError
		if errors.As(err, &p) {
			err = p.Err
		}
		return nil, 0, err
	}
	info, err := r.Stat()
	if err != nil {
		return nil, 0, errors.Join(err, r.Close())
	}
	return r, info.Size(), nil
}

// readHeader parses the beginning of the file and notes where the data begin.
func (s *source) readHeader(r io.Reader) ([]place, map[string]string, error) {
	if s.size < 8 {
		return nil, nil, fmt.Errorf("file has %d bytes; a safetensors file needs at least 8", max(s.size, 0))
	}
	if s.size > math.MaxInt {
		return nil, nil, fmt.Errorf("file has %d bytes, too many for this machine's address space", s.size)
	}
	start := make([]byte, min(s.size, magicSize))
	if _, err := io.ReadFull(r, start); err != nil {
		return nil, nil, err
	}
	n := binary.LittleEndian.Uint64(start)
	if n > maxHeader || n > uint64(s.size-8) || start[min(8, len(start)-1)] != '{' {
		if err := foreign(start); err != nil {
			return nil, nil, err
		}
	}
	if n > maxHeader {
		return nil, nil, fmt.Errorf("header length %d exceeds the limit %d", n, maxHeader)
	}
	if n > uint64(s.size-8) {
		return nil, nil, fmt.Errorf("header length %d exceeds the file size %d (truncated download?)", n, s.size)
	}
	header := make([]byte, n)
	if have := copy(header, start[8:]); have < len(header) {
		if _, err := io.ReadFull(r, header[have:]); err != nil {
			return nil, nil, err
		}
	}
	s.begin = 8 + int64(n)
	return parseHeader(header, int(s.size-s.begin))
}

// read reads the values of a tensor.
func (p *place) read() (t Tensor, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("%s: tensor %q: %w", p.source.path, clip(p.Name), err)
		}
	}()
	r, size, err := p.source.open()
	if err != nil {
		return t, err
	}
	defer r.Close() // read only
	if size != p.source.size {
		return t, fmt.Errorf("the file had %d bytes when it was opened and has %d now", p.source.size, size)
	}
	if err := skip(r, p.source.begin+int64(p.begin)); err != nil {
		return t, err
	}
	t = Tensor{Name: p.Name, DType: p.DType, Shape: p.Shape, Data: make([]float32, p.count)}
	if t.DType.wide() {
		t.Data64 = make([]float64, p.count)
	}
	width := t.DType.Size()
	chunk := make([]byte, min(1<<16, p.end-p.begin))
	for at := 0; at < p.count; {
		b := chunk[:min(len(chunk), (p.count-at)*width)]
		if _, err := io.ReadFull(r, b); err != nil {
			return t, err
		}
		if err := decode(&t, at, b); err != nil {
			return t, err
		}
		at += len(b) / width
	}
	return t, nil
}

// skip moves r to offset from its beginning.
func skip(r io.Reader, offset int64) error {
	if s, ok := r.(io.Seeker); ok {
		_, err := s.Seek(offset, io.SeekStart)
		return err
	}
	_, err := io.CopyN(io.Discard, r, offset)
	return err
}
