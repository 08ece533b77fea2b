package run

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"flowgrpo/internal/disk"
	"flowgrpo/internal/tensorboard"
)

// A fileMark is how far a file had been written, and what it held.
type fileMark struct {
	File   string `json:"file,omitempty"` // its name in the run folder; "": there is none
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256,omitempty"`
}

// A logFile is a file that is appended to. It knows the digest of all that it holds.
type logFile struct {
	file *os.File
	size int64
	hash hash.Hash
}

// openLog opens a file for appending where m was taken. What came later is cut off, and
// what came before must be as it was.
func openLog(path string, m fileMark) (*logFile, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	l := &logFile{file: f, hash: sha256.New()}
	if l.size, err = io.CopyN(l.hash, f, m.Size); err != nil && !errors.Is(err, io.EOF) {
		return nil, errors.Join(err, f.Close())
	}
	if m.Size > 0 && l.digest() != m.SHA256 {
		err := &ResumeError{fmt.Errorf("%s is not what the run has written: the first %d bytes have another SHA-256 than at the latest checkpoint", path, m.Size)}
		return nil, errors.Join(err, f.Close())
	}
	if err := f.Truncate(m.Size); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return l, nil
}

func (l *logFile) digest() string { return hex.EncodeToString(l.hash.Sum(nil)) }

// Write implements [io.Writer].
func (l *logFile) Write(b []byte) (int, error) {
	n, err := l.file.Write(b)
	l.hash.Write(b[:n])
	l.size += int64(n)
	return n, err
}

// mark makes sure of the content on the disk and returns how far it goes.
func (l *logFile) mark() (fileMark, error) {
	err := l.file.Sync()
	return fileMark{filepath.Base(l.file.Name()), l.size, l.digest()}, err
}

func (l *logFile) close() error {
	if l == nil {
		return nil
	}
	return l.file.Close()
}

// logMarks are how far the files had been written to which a run appends.
type logMarks struct {
	Metrics fileMark `json:"metrics"`
	Events  fileMark `json:"events"`
}

// marks makes sure of the files on the disk and returns how far they go.
func (f *folder) marks() (m logMarks, err error) {
	if m.Metrics, err = f.metrics.mark(); err != nil {
		return m, err
	}
	m.Events, err = f.events.mark()
	return m, err
}

// openLogs opens metrics.jsonl and the event file where m was taken, for appending.
func (f *folder) openLogs(now time.Time, m logMarks) error {
	var err error
	if f.metrics, err = openLog(f.path(metricsFile), m.Metrics); err != nil {
		return err
	}
	if m.Metrics.Size == 0 { // an event file can only be of a start that did not come far
		if err := f.removeEvents(); err != nil {
			return err
		}
	}
	name := m.Events.File
	if name == "" {
		host, err := os.Hostname()
		if err != nil {
			host = "localhost"
		}
		name = tensorboard.FileName(now, host)
	}
	if f.events, err = openLog(f.path(name), m.Events); err != nil {
		return err
	}
	if m.Events.Size == 0 {
		f.board, err = tensorboard.NewWriter(f.events, nil)
	} else {
		f.board = tensorboard.Continue(f.events, nil)
	}
	return errors.Join(err, disk.Dir(f.dir).SyncDir("."))
}

func (f *folder) removeEvents() error {
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if tensorboard.IsEventFile(e.Name()) {
			if err := os.Remove(f.path(e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// wholeLines is the mark of a metrics.jsonl of which no checkpoint knows, but for a last
// line that a crash has cut.
func (f *folder) wholeLines() (fileMark, error) {
	data, err := os.ReadFile(f.path(metricsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return fileMark{}, nil
	}
	data = data[:bytes.LastIndexByte(data, '\n')+1]
	digest := sha256.Sum256(data)
	return fileMark{metricsFile, int64(len(data)), hex.EncodeToString(digest[:])}, err
}

// closeLogs closes what openLogs opened.
func (f *folder) closeLogs() error { return errors.Join(f.metrics.close(), f.events.close()) }
