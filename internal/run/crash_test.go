package run

import (
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"path"
	"strings"
	"testing"

	"flowgrpo/internal/crashfs"
	"flowgrpo/internal/disk"
	"flowgrpo/internal/longtest"
)

// whole is the disk as it is.
func whole(f *crashfs.FS) disk.FS { return f }

// No power cut and no kill, at any moment of resuming, saving and pruning, costs a
// checkpoint whose save has returned, or leaves one that is damaged, or anything that
// resuming does not clean up.
func TestPowerCuts(t *testing.T) {
	states := 4000
	if longtest.Asked() {
		states = 100_000
	}
	seed := longtest.Seed(t)
	p := &power{random: rand.New(rand.NewPCG(seed, 0)), around: whole, samples: 12}
	p.run(states)
	t.Logf("%d states", p.looked)
	for _, w := range p.wrong[:min(10, len(p.wrong))] {
		t.Error(w)
	}
}

// A forgetful disk leaves out what makes saving safe.
type forgetful struct {
	*crashfs.FS
	file, folder func(name string) bool // whose sync is left out
	rename       bool                   // folders are copied instead
}

func never(string) bool { return false }

// Create implements [disk.FS].
func (f forgetful) Create(name string) (disk.File, error) {
	w, err := f.FS.Create(name)
	if err == nil && f.file(name) {
		w = unsynced{w}
	}
	return w, err
}

type unsynced struct{ disk.File }

func (unsynced) Sync() error { return nil }

// SyncDir implements [disk.FS].
func (f forgetful) SyncDir(name string) error {
	if f.folder(name) {
		return nil
	}
	return f.FS.SyncDir(name)
}

// Rename implements [disk.FS].
func (f forgetful) Rename(from, to string) error {
	if !f.rename {
		return f.FS.Rename(from, to)
	}
	entries, err := fs.ReadDir(f, from)
	if err != nil {
		return err
	}
	if err := f.Mkdir(to); err != nil {
		return err
	}
	for _, e := range entries {
		content, err := fs.ReadFile(f, path.Join(from, e.Name()))
		if err != nil {
			return err
		}
		if _, err := writeFile(f, path.Join(to, e.Name()), func(w io.Writer) error {
			_, err := w.Write(content)
			return err
		}); err != nil {
			return err
		}
	}
	return errors.Join(f.SyncDir(to), disk.RemoveAll(f, from))
}

// The simulation is able to fail: without a sync of files, of folders, or renames, and
// without any single sync, it finds a power cut that costs a checkpoint.
func TestPowerCutsFindMutants(t *testing.T) {
	always := func(string) bool { return true }
	is := func(want string) func(string) bool { return func(name string) bool { return path.Base(name) == want } }
	for name, m := range map[string]forgetful{
		"no file sync":                      {file: always, folder: never},
		"no folder sync":                    {file: never, folder: always},
		"no rename":                         {file: never, folder: never, rename: true},
		"no sync of the weights":            {file: is(weightsFile), folder: never},
		"no sync of the average":            {file: is(emaFile), folder: never},
		"no sync of the moments":            {file: is(optimizerFile), folder: never},
		"no sync of the manifest":           {file: is(manifestFile), folder: never},
		"no sync of the run folder":         {file: never, folder: is(".")},
		"no sync of the checkpoints folder": {file: never, folder: is(checkpointsDir)},
		"no sync of the new folder":         {file: never, folder: func(name string) bool { return strings.HasPrefix(path.Base(name), newPrefix) }},
	} {
		p := &power{random: rand.New(rand.NewPCG(1, 1)), samples: 12, around: func(f *crashfs.FS) disk.FS {
			m.FS = f
			return m
		}}
		p.run(20_000)
		if len(p.wrong) == 0 {
			t.Errorf("%s: not found in %d states", name, p.looked)
		}
		t.Logf("%s: found after %d states: %s", name, p.looked, p.wrong[:min(1, len(p.wrong))])
	}
}
