// Package prompts reads prompt sets from files: a .txt with one prompt per line,
// or a .jsonl with one object per line,
//
//	{"prompt": "a sign that says \"K7\"", "id": 3, "category": "2 characters", "metadata": {"text": "K7"}}
//
// where only "prompt" is needed. A line of GenEval's evaluation_metadata.jsonl is
// taken as it is: with "tag" and "include" in it, the whole line is the metadata
// and the tag the category. Anything else unexpected is an error that names file
// and line.
package prompts

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"flowgrpo/internal/lines"
	"flowgrpo/task"
)

// Options say where the prompts are. Either HeldOut or HeldOutFraction sets the
// held-out prompts apart; with neither there are none.
type Options struct {
	Train   string // file of the training prompts
	HeldOut string // file of the held-out prompts, or ""
	// HeldOutFraction is the share, in [0, 1), of Train's prompts to hold out
	// if HeldOut is "". Which ones depends on Seed and the prompt's text only,
	// so equal texts stay together.
	HeldOutFraction float64
	Seed            int64
}

// A Set is the prompts of a task in two splits. Safe for concurrent use.
type Set struct {
	train, heldOut []task.Prompt
}

// Open reads the files that o names. It is an error if a split comes out empty
// that should not, or if a prompt is in both files.
func Open(o Options) (*Set, error) {
	if !(0 <= o.HeldOutFraction && o.HeldOutFraction < 1) {
		return nil, fmt.Errorf("prompts: held-out fraction is %v, want at least 0 and less than 1", o.HeldOutFraction)
	}
	all, err := read(o.Train)
	if err != nil {
		return nil, err
	}
	if o.HeldOut != "" {
		return pair(all, o.HeldOut)
	}
	var train, heldOut []record
	for _, r := range all {
		if lines.HeldOut(o.Seed, r.prompt.Text, o.HeldOutFraction) {
			heldOut = append(heldOut, r)
		} else {
			train = append(train, r)
		}
	}
	if len(train) == 0 || o.HeldOutFraction > 0 && len(heldOut) == 0 {
		return nil, fmt.Errorf("%s: a held-out fraction of %v leaves %d prompts to train on and %d held out; change it, add prompts or give a held-out file",
			o.Train, o.HeldOutFraction, len(train), len(heldOut))
	}
	return &Set{number(train), number(heldOut)}, nil
}

// pair returns train and the prompts of the file heldOut, which must be disjoint.
func pair(train []record, heldOut string) (*Set, error) {
	held, err := read(heldOut)
	if err != nil {
		return nil, err
	}
	at := map[string]record{}
	for _, r := range train {
		at[r.key()] = r
	}
	for _, r := range held {
		if other, both := at[r.key()]; both {
			return nil, r.line.Errorf("%q is a training prompt too, at %s:%d", r.prompt.Text, other.line.File, other.line.No)
		}
	}
	return &Set{number(train), number(held)}, nil
}

// Prompts returns the prompts of a split in the order of the file; the slice is
// the caller's. IDs are those of the file, or 0, 1, 2, … if it has none.
func (s *Set) Prompts(split task.Split) []task.Prompt {
	list := s.train
	if split == task.HeldOut {
		list = s.heldOut
	}
	return append([]task.Prompt(nil), list...)
}

// A record is a prompt and where it was read.
type record struct {
	prompt task.Prompt
	hasID  bool
	line   lines.Line
}

// key tells prompts apart by what a picture is judged by.
func (r record) key() string { return r.prompt.Text + "\x00" + string(r.prompt.Metadata) }

// number returns the prompts, numbered from 0 if they have no IDs.
func number(records []record) []task.Prompt {
	var out []task.Prompt
	for i, r := range records {
		if !r.hasID {
			r.prompt.ID = uint32(i)
		}
		out = append(out, r.prompt)
	}
	return out
}

func read(path string) ([]record, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("prompts: %s: %w", path, os.ErrNotExist)
	}
	if err != nil {
		return nil, fmt.Errorf("prompts: %w", err)
	}
	defer f.Close() // read only
	return parse(path, f)
}

// parse reads r as the kind of file that path's extension says.
func parse(path string, r io.Reader) ([]record, error) {
	var parseLine func(lines.Line) (record, error)
	switch ext := strings.ToLower(filepath.Ext(path)); ext {
	case ".txt":
		parseLine = parseText
	case ".jsonl":
		parseLine = parseJSON
	default:
		return nil, fmt.Errorf("%s: prompts come from .txt (one per line) or .jsonl files, not %q", path, ext)
	}
	list, err := lines.Read(path, r)
	if err != nil {
		return nil, err
	}
	var out []record
	for _, l := range list {
		r, err := parseLine(l)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s: no prompt in it", path)
	}
	return out, checkIDs(out)
}

func parseText(l lines.Line) (record, error) {
	return record{prompt: task.Prompt{Text: l.Text}, line: l}, nil
}

// checkIDs asks for different IDs on all lines or on none.
func checkIDs(records []record) error {
	line := map[uint32]int{}
	for _, r := range records {
		if r.hasID != records[0].hasID {
			return r.line.Errorf("some lines have an \"id\", some have none; line %d differs from this one", records[0].line.No)
		}
		if first, twice := line[r.prompt.ID]; twice && r.hasID {
			return r.line.Errorf("id %d is taken by line %d", r.prompt.ID, first)
		}
		line[r.prompt.ID] = r.line.No
	}
	return nil
}
