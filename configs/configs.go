// Package configs holds the recipes that come with the program.
package configs

import (
	"embed"
	"io/fs"
	"strings"
)

//go:embed *.toml
var files embed.FS

// List returns the names of the recipes, sorted, without ".toml".
func List() []string {
	names, err := fs.Glob(files, "*.toml")
	if err != nil {
		panic("configs: " + err.Error()) // the pattern is a constant
	}
	for i, n := range names {
		names[i] = strings.TrimSuffix(n, ".toml")
	}
	return names
}

// Read returns the recipe of that name, which may end in ".toml", and whether
// there is one.
func Read(name string) ([]byte, bool) {
	b, err := files.ReadFile(strings.TrimSuffix(name, ".toml") + ".toml")
	return b, err == nil
}
