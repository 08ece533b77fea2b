// Package atomicfile replaces files so that a crash leaves the old content or the
// new one, never a part: write a temporary file in the same folder, sync it,
// rename it, sync the folder.
package atomicfile

import (
	"fmt"
	"io"
	"path/filepath"

	"flowgrpo/internal/disk"
)

// Write gives path the content that write produces, with mode 0644. If write or
// the disk fails, path keeps what it had and no temporary file stays behind.
// Concurrent calls for one path leave the content of one of them.
func Write(path string, write func(io.Writer) error) error {
	err := disk.Replace(disk.Dir(filepath.Dir(path)), filepath.Base(path), write)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// WriteBytes is Write with content that is already there.
func WriteBytes(path string, content []byte) error {
	return Write(path, func(w io.Writer) error {
		_, err := w.Write(content)
		return err
	})
}
