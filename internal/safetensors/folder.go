package safetensors

import (
	"fmt"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"strings"
)

// only returns the index in a folder or, without one, its only .safetensors file.
func only(fsys fs.FS, folder, dir string) (string, error) {
	where := filepath.Join(dir, filepath.FromSlash(folder))
	sub, err := fs.Sub(fsys, folder)
	if err != nil {
		return "", fmt.Errorf("%s: %w", where, err)
	}
	for _, suffix := range []string{".safetensors" + indexSuffix, ".safetensors"} {
		found, err := fs.Glob(sub, "*"+suffix)
		if err != nil {
			return "", fmt.Errorf("%s: %w", where, err)
		}
		switch len(found) {
		case 0:
			continue
		case 1:
			return path.Join(folder, found[0]), nil
		}
		return "", fmt.Errorf("%s: found %d files that end in %s (%s); name one", where, len(found), suffix, clip(strings.Join(found, ", ")))
	}
	if err := othersIn(sub, where); err != nil {
		return "", err
	}
	return "", fmt.Errorf("%s: no .safetensors file in this folder", where)
}

// othersIn looks for weights of other formats in a folder without any of ours, and
// says what the first is.
func othersIn(folder fs.FS, where string) error {
	for _, suffix := range []string{".bin", ".pt", ".pth", ".ckpt", ".gguf", ".keras", ".h5", ".npz"} {
		found, err := fs.Glob(folder, "*"+suffix)
		if err != nil || len(found) == 0 {
			continue
		}
		f, err := folder.Open(found[0])
		if err != nil {
			continue
		}
		defer f.Close() // read only
		start := make([]byte, magicSize)
		n, err := io.ReadFull(f, start)
		if err != nil && err != io.ErrUnexpectedEOF {
			continue
		}
		if err := foreign(start[:n]); err != nil {
			return fmt.Errorf("%s: %w", filepath.Join(where, found[0]), err)
		}
	}
	return nil
}
