// Package base holds the pretrained base models that are embedded in the program:
// one folder in diffusers layout per world.
package base

import (
	"embed"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// files are this folder; the models are its subfolders.
//
//go:embed *
var files embed.FS

// index is the file that makes a folder a model.
const index = "model_index.json"

// Names returns the names of the embedded models, sorted.
func Names() []string { return names(files) }

func names(fsys fs.FS) []string {
	found, err := fs.Glob(fsys, "*/"+index)
	if err != nil {
		panic("base: " + err.Error()) // the pattern is a constant
	}
	for i, f := range found {
		found[i] = strings.TrimSuffix(f, "/"+index)
	}
	return found
}

// Open returns the folder of the model called name, or an error that lists the
// models that there are.
func Open(name string) (fs.FS, error) { return open(files, name) }

func open(fsys fs.FS, name string) (fs.FS, error) {
	have := names(fsys)
	if slices.Contains(have, name) {
		return fs.Sub(fsys, name)
	}
	if len(have) == 0 {
		return nil, fmt.Errorf("no base model %q: this program was built without base models; make one with `finetune pretrain pretrain-%s`, then set model.path", name, name)
	}
	return nil, fmt.Errorf("no base model %q is embedded in this program; it has %s", name, strings.Join(have, ", "))
}
