// Package skeleton writes the beginnings of rewards that live in programs of their own.
package skeleton

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"text/template"

	"flowgrpo/reward/plugin"
)

// Languages are those that [Write] knows.
var Languages = []string{"go", "python"}

//go:embed recipe.toml.tmpl go python
var templates embed.FS

// A file is what a template, or a file of the kit, becomes.
type file struct {
	from, to string
	mode     fs.FileMode
}

// files returns the files of a language: from templates, and copied from the kit.
func files(lang string) (written, copied []file) {
	if lang == "python" {
		return []file{
			{"recipe.toml.tmpl", "recipe.toml", 0o644},
			{"python/reward.py.tmpl", "reward.py", 0o755},
			{"python/test_reward.py.tmpl", "test_reward.py", 0o644},
		}, []file{{"python/flowgrpo_reward.py", "flowgrpo_reward.py", 0o644}}
	}
	sources, err := plugin.Source.ReadDir(".")
	if err != nil {
		panic(err) // embedded
	}
	for _, s := range sources {
		if !s.IsDir() {
			copied = append(copied, file{s.Name(), path.Join("plugin", s.Name()), 0o644})
		}
	}
	return []file{
		{"recipe.toml.tmpl", "recipe.toml", 0o644},
		{"go/go.mod.tmpl", "go.mod", 0o644},
		{"go/main.go.tmpl", "main.go", 0o644},
		{"go/main_test.go.tmpl", "main_test.go", 0o644},
	}, copied
}

// name is what a recipe and a module may be called.
var name = regexp.MustCompile(`^[a-z][a-z0-9_-]*$`)

// Write makes the folder dir with a working reward in one of the [Languages], its test, a
// recipe that trains with it, and the kit. The reward is called as the folder. It returns
// the paths of the files. A folder that is there already is an error, and stays as it is.
func Write(dir, lang string) ([]string, error) {
	base := filepath.Base(filepath.Clean(dir))
	if !name.MatchString(base) {
		return nil, fmt.Errorf("%q cannot be the name of a reward: want letters a to z, digits, - and _, a letter first", base)
	}
	if err := os.MkdirAll(filepath.Dir(filepath.Clean(dir)), 0o755); err != nil {
		return nil, err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("%s exists already", dir)
		}
		return nil, err
	}
	data := struct{ Name, Dir, Command string }{base, filepath.ToSlash(filepath.Clean(dir)), command(dir, lang)}
	var paths []string
	written, copied := files(lang)
	for _, f := range written {
		text, err := render(f.from, data)
		if err != nil {
			return nil, err
		}
		paths = append(paths, filepath.Join(dir, f.to))
		if err := os.WriteFile(filepath.Join(dir, f.to), text, f.mode); err != nil {
			return nil, err
		}
	}
	for _, f := range copied {
		text, err := plugin.Source.ReadFile(f.from)
		if err != nil {
			return nil, err
		}
		to := filepath.Join(dir, filepath.FromSlash(f.to))
		if err := errors.Join(os.MkdirAll(filepath.Dir(to), 0o755), os.WriteFile(to, text, f.mode)); err != nil {
			return nil, err
		}
		paths = append(paths, to)
	}
	return paths, nil
}

// command is how a recipe starts the program.
func command(dir, lang string) string {
	program := filepath.Base(filepath.Clean(dir))
	if lang == "python" {
		program = "reward.py"
	}
	file := filepath.ToSlash(filepath.Join(dir, program))
	if !filepath.IsAbs(dir) {
		file = "./" + file
	}
	return "[" + strconv.Quote(file) + "]"
}

func render(file string, data any) ([]byte, error) {
	t, err := template.ParseFS(templates, file)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = t.Execute(&out, data)
	return out.Bytes(), err
}
