// Package imagefolder reads folders of captioned pictures in the layout that
// Hugging Face datasets calls imagefolder: PNG and JPEG files, in subfolders or
// not, and one metadata.jsonl with a line per picture,
//
//	{"file_name": "cats/1.png", "text": "a black cat"}
//
// where "caption" or "prompt" may stand for "text", and "category" and "metadata"
// are passed on to the prompt. Other keys are ignored, as there. An orientation
// noted in a JPEG's EXIF data is not applied.
//
// [Open] checks everything at once: each picture of the folder has one line, and
// each line one picture that decodes. Errors name metadata.jsonl's line, or the
// picture that has none.
package imagefolder

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/sourcegraph/conc/iter"

	"flowgrpo/internal/lines"
	"flowgrpo/task"
)

// A Crop is how the part of a picture is chosen that fits the wanted shape.
type Crop int

// The crops.
const (
	Centre Crop = iota
	Random      // anew for every example drawn, from its key
)

// Options say what to make of the pictures.
type Options struct {
	C, H, W int // shape of the examples; C is 1 (grey) or 3
	Crop    Crop
	// HeldOutFraction is the share of pictures, in [0, 1), that training never
	// sees. Which ones is a pure function of Seed and the file name.
	HeldOutFraction float64
	Seed            int64
}

func (o Options) validate() error {
	switch {
	case o.C != 1 && o.C != 3:
		return fmt.Errorf("imagefolder: %d channels, want 1 or 3", o.C)
	case o.H < 1 || o.W < 1 || o.H > maxSide || o.W > maxSide:
		return fmt.Errorf("imagefolder: size %d×%d, want 1 to %d", o.H, o.W, maxSide)
	case o.Crop != Centre && o.Crop != Random:
		return fmt.Errorf("imagefolder: unknown crop %d", o.Crop)
	case !(0 <= o.HeldOutFraction && o.HeldOutFraction < 1):
		return fmt.Errorf("imagefolder: held-out fraction is %v, want at least 0 and less than 1", o.HeldOutFraction)
	}
	return nil
}

// A Folder is the pictures of a folder, decoded and scaled, in two splits.
type Folder struct {
	train, heldOut *Set
}

// Open reads all of dir into memory: 3 bytes per pixel, once scaled. It is an
// error if a split comes out empty that should not.
func Open(dir string, o Options) (*Folder, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir) // nothing outside can be opened through it
	if err != nil {
		return nil, fmt.Errorf("imagefolder: %w", err)
	}
	defer root.Close()
	entries, err := readMetadata(root)
	if err != nil {
		return nil, err
	}
	if err := findUnlisted(root, entries); err != nil {
		return nil, err
	}
	items, err := decodeAll(root, entries, o)
	if err != nil {
		return nil, err
	}
	return o.split(dir, entries, items)
}

// decodeAll reports the first error in the order of the lines.
func decodeAll(root *os.Root, entries []entry, o Options) ([]item, error) {
	items := make([]item, len(entries))
	errs := make([]error, len(entries))
	iter.ForEachIdx(entries, func(i int, e *entry) {
		pixels, err := decode(root, e.file, o)
		if err != nil {
			errs[i] = e.line.Errorf("%s: %w", e.file, err)
		}
		items[i] = item{e.prompt, pixels}
	})
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return items, nil
}

func (o Options) split(dir string, entries []entry, items []item) (*Folder, error) {
	f := &Folder{&Set{options: o}, &Set{options: o}}
	for i, it := range items {
		set := f.train
		if lines.HeldOut(o.Seed, entries[i].file, o.HeldOutFraction) {
			set = f.heldOut
		}
		it.prompt.ID = uint32(len(set.items))
		set.items = append(set.items, it)
	}
	if len(f.train.items) == 0 || o.HeldOutFraction > 0 && len(f.heldOut.items) == 0 {
		return nil, fmt.Errorf("%s: a held-out fraction of %v leaves %d pictures to train on and %d held out; change it or add pictures",
			dir, o.HeldOutFraction, len(f.train.items), len(f.heldOut.items))
	}
	return f, nil
}

// Split returns the pictures of a split.
func (f *Folder) Split(split task.Split) *Set {
	if split == task.HeldOut {
		return f.heldOut
	}
	return f.train
}

// notFound makes err shorter if the file does not exist: its name is known.
func notFound(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return errors.New("no such file")
	}
	return err
}

// displayName is how errors call a file of root.
func displayName(root *os.Root, file string) string {
	return filepath.Join(root.Name(), filepath.FromSlash(file))
}
