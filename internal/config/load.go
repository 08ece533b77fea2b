package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/BurntSushi/toml"

	"flowgrpo/configs"
)

// maxSize bounds the bytes of a recipe.
const maxSize = 1 << 20

// A Recipe is the text of a recipe, as given.
type Recipe struct {
	Path string // of the file, or "configs/NAME.toml" for an embedded one
	Text string // without byte order mark
}

// Open reads the recipe in the file called name or, if there is no such file, the
// embedded recipe of that name ("glyphs", "glyphs.toml" or "configs/glyphs.toml").
func Open(name string) (Recipe, error) {
	text, err := readFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		base := filepath.ToSlash(name)
		if dir, file := path.Split(base); dir == "configs/" || dir == "./configs/" {
			base = file
		}
		if b, ok := configs.Read(base); ok {
			return Recipe{"configs/" + strings.TrimSuffix(base, ".toml") + ".toml", string(b)}, nil
		}
		return Recipe{}, &Error{File: name, Message: fmt.Sprintf("no such file, and no recipe of that name comes with the program; it has %s%s",
			strings.Join(configs.List(), ", "), didYouMean(strings.TrimSuffix(base, ".toml"), configs.List(), goQuote))}
	}
	if err != nil {
		return Recipe{}, &Error{File: name, Message: err.Error()}
	}
	return Recipe{name, strings.TrimPrefix(text, "\ufeff")}, nil
}

func readFile(name string) (string, error) {
	f, err := os.Open(name)
	if err == nil {
		defer f.Close()
		var b []byte
		if b, err = io.ReadAll(io.LimitReader(f, maxSize+1)); err == nil {
			if info, e := f.Stat(); e == nil && info.Size() > maxSize {
				return "", errTooLarge(info.Size())
			}
			return string(b), nil
		}
	}
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	return "", err
}

func errTooLarge(bytes int64) error {
	return fmt.Errorf("file has %d bytes; the limit is %d", bytes, maxSize)
}

// Load opens a recipe and reads it with sets, a list of "section.key=value" that
// replace or add keys. Every error is an [*Error].
func Load(name string, sets []string) (*Config, error) {
	r, err := Open(name)
	if err != nil {
		return nil, err
	}
	return r.Config(sets)
}

// Config returns the recipe's values over the defaults, with sets applied: all are
// merged as a tree and then decoded once. Every error is an [*Error].
func (r Recipe) Config(sets []string) (*Config, error) {
	tree, where, err := r.parse()
	if err != nil {
		return nil, err
	}
	changed := overrides{}
	for _, s := range sets {
		if err := changed.apply(tree, s); err != nil {
			return nil, err
		}
	}
	c := Default()
	d := decoder{}
	d.table("", tree, reflect.ValueOf(&c).Elem())
	// The TOML parser takes "a.b = 1" and then "a = 2", and drops the latter.
	for offset := range where.again {
		d.problems = append(d.problems, r.twice(where, offset))
	}
	if len(d.problems) == 0 {
		d.problems = check(&c)
	}
	if len(d.problems) > 0 {
		return nil, r.wrong(d.problems, where, changed)
	}
	c.Path = r.Path
	return &c, nil
}

// parse returns the recipe as a tree, and where its keys are.
func (r Recipe) parse() (map[string]any, layout, error) {
	if len(r.Text) > maxSize {
		return nil, layout{}, &Error{File: r.Path, Message: errTooLarge(int64(len(r.Text))).Error()}
	}
	if !utf8.ValidString(r.Text) {
		i := strings.IndexRune(strings.ToValidUTF8(r.Text, "\uffff"), '\uffff')
		return nil, layout{}, at(r.Path, strings.ToValidUTF8(r.Text, "?"), i, "file is not valid UTF-8")
	}
	where, offset, err := locate(r.Text)
	if err != nil {
		return nil, layout{}, at(r.Path, r.Text, offset, err.Error())
	}
	tree := map[string]any{}
	if _, err := toml.Decode(r.Text, &tree); err != nil {
		return nil, layout{}, r.syntax(err, where)
	}
	return tree, where, nil
}

// syntax rewrites an error of the TOML parser.
func (r Recipe) syntax(err error, where layout) *Error {
	var p toml.ParseError
	if !errors.As(err, &p) {
		return &Error{File: r.Path, Message: err.Error()}
	}
	for offset, line := 0, 1; offset < len(r.Text) && line <= p.Position.Line; offset++ {
		if r.Text[offset] == '\n' {
			line++
		}
		if _, ok := where.again[offset]; ok && line == p.Position.Line {
			return r.blame(r.twice(where, offset), where, nil)
		}
	}
	message := clipTo(p.Message, 200)
	if p.LastKey != "" && strings.Contains(message, "out of range") {
		message = p.LastKey + " = " + message
	}
	return at(r.Path, r.Text, p.Position.Start, message)
}

// Blame returns err as an [*Error] with the place of key in the recipe, or the argument in
// sets that gave it its value.
func (r Recipe) Blame(sets []string, key string, err error) error {
	tree, where, broken := r.parse()
	if broken != nil {
		return err // of another recipe
	}
	changed := overrides{}
	for _, s := range sets {
		if broken := changed.apply(tree, s); broken != nil {
			return err
		}
	}
	return r.blame(problem{keys: []string{key}, message: err.Error()}, where, changed)
}

// twice is that a key at an offset was set before.
func (r Recipe) twice(where layout, offset int) problem {
	path := where.again[offset]
	first := strings.Count(r.Text[:where.spans[path].key], "\n") + 1
	return problem{again: &span{offset, offset}, message: fmt.Sprintf("key %q is already set on line %d", clip(path), first)}
}

// wrong makes the error for all problems: those of --set come first, then by place in the
// recipe, then those that have no place.
func (r Recipe) wrong(problems []problem, where layout, changed overrides) *Error {
	rank := func(p problem) int {
		set, s := p.place(where, changed)
		switch {
		case set != "":
			return -1
		case s == nil:
			return len(r.Text)
		}
		return s.key
	}
	slices.SortStableFunc(problems, func(a, b problem) int { return rank(a) - rank(b) })
	e := r.blame(problems[0], where, changed)
	if len(problems) == 1 {
		return e
	}
	e.below = ""
	for _, p := range problems[1:min(len(problems), maxErrors)] {
		e.below += "\n" + r.blame(p, where, changed).headline()
	}
	if more := len(problems) - maxErrors; more > 0 {
		e.below += fmt.Sprintf("\n%s: and %d more", r.Path, more)
	}
	return e
}

// blame makes the error for a problem, with its place.
func (r Recipe) blame(p problem, where layout, changed overrides) *Error {
	switch set, s := p.place(where, changed); {
	case set != "":
		return setError(set, p.message)
	case s == nil:
		return &Error{File: r.Path, Message: p.message}
	case p.atKey:
		return at(r.Path, r.Text, s.key, p.message)
	default:
		return at(r.Path, r.Text, s.value, p.message)
	}
}

// place returns the argument of --set, or else where in the recipe the problem is; nil if
// it has no place.
func (p problem) place(where layout, changed overrides) (set string, s *span) {
	if p.again != nil {
		return "", p.again
	}
	for _, key := range p.keys {
		if set, ok := find(changed, key); ok {
			return set, nil
		}
		if s, ok := find(where.spans, key); ok {
			return "", &s
		}
	}
	return "", nil
}

// find returns what m has of a key. Of an element "a.b[2]" it has what it has of "a.b".
func find[V any](m map[string]V, key string) (V, bool) {
	v, ok := m[key]
	for !ok && strings.HasSuffix(key, "]") {
		array := strings.LastIndexByte(key, '[')
		if array < 0 {
			break
		}
		key = key[:array]
		v, ok = m[key]
	}
	return v, ok
}
