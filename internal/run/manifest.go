package run

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"

	"flowgrpo/internal/disk"
	"flowgrpo/internal/jsonfile"
)

const (
	manifestFile = "manifest.json" // of a checkpoint, written last
	maxManifest  = 1 << 20         // bytes

	// checkpointFormat is what this program writes. Format 1 had the state in a file of
	// its own, [stateFile], and no digest of the manifest; it is read all the same.
	checkpointFormat = 2
	stateFile        = "state.json"
)

// A manifest says what a checkpoint holds, besides its tensors, and how to tell whether
// it is whole.
type manifest struct {
	Format  int                   `json:"format"`
	Program string                `json:"program"` // version and revision that wrote it
	State   checkpointState       `json:"state"`
	Files   map[string]fileDigest `json:"files"`
}

// A fileDigest is what a file must be like.
type fileDigest struct {
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// A formatError is a checkpoint of a later version of the program: not damaged, but
// not for this program.
type formatError struct {
	dir string
	m   manifest
}

func (e *formatError) Error() string {
	return fmt.Sprintf("%s has format %d, written by version %s; this program reads formats 1 to %d",
		e.dir, e.m.Format, e.m.Program, checkpointFormat)
}

// seal is how a manifest ends: with the digest of what comes before.
func seal(body []byte) string {
	digest := sha256.Sum256(body)
	return fmt.Sprintf(",\n  \"sha256\": \"%x\"\n}\n", digest)
}

// encode returns the manifest as a file.
func (m manifest) encode() ([]byte, error) {
	content, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, err
	}
	body := bytes.TrimSuffix(content, []byte("\n}"))
	return append(body, seal(body)...), nil
}

// errManifest is a manifest that is not what was written.
var errManifest = errors.New(manifestFile + " is damaged")

// parseManifest reads a manifest of format 2 or later, every byte of which must be as
// it was written. The manifest of a later format has only the fields that it shares
// with this one.
func parseManifest(content []byte) (manifest, error) {
	var m manifest
	n := len(content) - len(seal(nil))
	if n < 0 || seal(content[:n]) != string(content[n:]) {
		return m, errManifest
	}
	body := append(content[:n:n], "\n}"...)
	var head struct {
		Format  int
		Program string
	}
	if err := json.Unmarshal(body, &head); err != nil {
		return m, errManifest
	}
	if head.Format > checkpointFormat {
		return manifest{Format: head.Format, Program: head.Program}, nil
	}
	err := jsonfile.Decode(manifestFile, body, &m, true)
	return m, err
}

// parseManifest1 reads a manifest of format 1: the files alone.
func parseManifest1(content []byte) (manifest, error) {
	m := manifest{Format: 1}
	err := jsonfile.Decode("", content, &m.Files, true)
	if err != nil || len(m.Files) != len(checkpointFiles)+1 {
		return m, errManifest
	}
	for _, name := range append([]string{stateFile}, checkpointFiles...) {
		if _, ok := m.Files[name]; !ok {
			return m, errManifest
		}
	}
	return m, nil
}

// verify returns the manifest of the checkpoint dir in a run folder, whose files are
// what the manifest says. The error names the first that is not, or is a *formatError.
func verify(folder disk.FS, dir string) (manifest, error) {
	m, err := readManifest(folder, dir)
	if err == nil && m.Format > checkpointFormat {
		return m, &formatError{path.Base(dir), m}
	}
	if err == nil && dir != checkpointDir(m.State.Iteration) {
		err = fmt.Errorf("it holds the checkpoint of iteration %d", m.State.Iteration)
	}
	for _, check := range []func(fs.FS, string, fileDigest) error{checkSize, checkHash} { // the cheap one first
		for _, name := range checkpointFiles {
			if err == nil {
				err = check(folder, path.Join(dir, name), m.Files[name])
			}
		}
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", path.Base(dir), err)
	}
	return m, err
}

// readManifest reads the manifest of the checkpoint dir, and its state if that has a file
// of its own.
func readManifest(folder disk.FS, dir string) (manifest, error) {
	content, err := readSmall(folder, path.Join(dir, manifestFile))
	if err != nil {
		return manifest{}, err
	}
	m, err := parseManifest(content)
	if err == nil {
		return m, nil
	}
	m, err1 := parseManifest1(content)
	if err1 != nil {
		return m, err
	}
	err = m.readState(folder, dir)
	return m, err
}

// readState reads the state of a checkpoint of format 1.
func (m *manifest) readState(folder disk.FS, dir string) error {
	name := path.Join(dir, stateFile)
	if err := checkHash(folder, name, m.Files[stateFile]); err != nil {
		return err
	}
	content, err := readSmall(folder, name)
	if err != nil {
		return err
	}
	return jsonfile.Decode(stateFile, content, &m.State, true)
}

// readSmall reads a file of at most maxManifest bytes.
func readSmall(folder fs.FS, name string) ([]byte, error) {
	f, err := openFile(folder, name)
	if err != nil {
		return nil, err
	}
	defer f.Close() // read only
	content, err := io.ReadAll(io.LimitReader(f, maxManifest+1))
	if len(content) > maxManifest {
		return nil, fmt.Errorf("%s is larger than %d bytes", path.Base(name), maxManifest)
	}
	return content, err
}

// openFile opens a file of a checkpoint.
func openFile(folder fs.FS, name string) (fs.File, error) {
	f, err := folder.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%s is missing", path.Base(name))
	}
	return f, err
}

// checkSize returns an error unless the file name is as long as want says.
func checkSize(folder fs.FS, name string, want fileDigest) error {
	f, err := openFile(folder, name)
	if err != nil {
		return err
	}
	defer f.Close() // read only
	info, err := f.Stat()
	if err == nil && info.Size() != want.Size {
		err = fmt.Errorf("%s has %d bytes, the manifest says %d", path.Base(name), info.Size(), want.Size)
	}
	return err
}

// checkHash returns an error unless the content of the file name is what want says.
func checkHash(folder fs.FS, name string, want fileDigest) error {
	f, err := openFile(folder, name)
	if err != nil {
		return err
	}
	defer f.Close() // read only
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return err
	}
	if hex.EncodeToString(h.Sum(nil)) != want.SHA256 {
		return fmt.Errorf("manifest hash of %s does not match", path.Base(name))
	}
	return nil
}
