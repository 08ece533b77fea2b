package jsonfile

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"sync"

	"flowgrpo/internal/edit"
)

// A checker holds a JSON text, in pieces, to the type that it is decoded into.
type checker struct{ strict bool }

// A fault is what is wrong at a path such as "a.b[2]".
type fault struct {
	path    string
	message func(path string) string
}

func (f *fault) Error() string {
	const limit = 100
	if path := []rune(f.path); len(path) > limit {
		return f.message(string(path[:limit]) + "…")
	}
	return f.message(f.path)
}

// inside puts a step of the path, such as "a" or "[2]", in front of that of err.
func inside(step string, err error) error {
	f, ok := err.(*fault)
	if !ok {
		return err
	}
	if f.path != "" && f.path[0] != '[' {
		step += "."
	}
	return &fault{step + f.path, f.message}
}

// wrong is the fault of a key; format has a verb for its path, and then those of args.
func wrong(key, format string, args ...any) error {
	return &fault{key, func(path string) string { return fmt.Sprintf(format, append([]any{path}, args...)...) }}
}

// misfit is the fault of a value that is no t.
func misfit(v []byte, t reflect.Type) error {
	found, want := excerpt(v), describe(t)
	return &fault{"", func(path string) string {
		if path == "" {
			return fmt.Sprintf("found %s, want %s", found, want)
		}
		return fmt.Sprintf("%s is %s, want %s", strings.Trim(strconv.Quote(path), `"`), found, want)
	}}
}

// unmarshalsItself reports whether the methods of t or *t decode it.
func unmarshalsItself(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(reflect.TypeFor[json.Unmarshaler]()) || p.Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// value checks v, which is decoded into a t. Anything goes for a nil t.
func (c checker) value(v []byte, t reflect.Type) error {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
		if string(v) == "null" {
			t = nil
		}
	}
	if t != nil && (t.Kind() == reflect.Interface || unmarshalsItself(t)) {
		t = nil
	}
	if t != nil && !c.fits(v, t) {
		return misfit(v, t)
	}
	switch v[0] {
	case '{':
		return c.object(v, t)
	case '[':
		return c.array(v, t)
	}
	return nil
}

// fits reports whether v is of the kind of t, and within its range.
func (c checker) fits(v []byte, t reflect.Type) bool {
	if string(v) == "null" {
		return !c.strict || t.Kind() == reflect.Slice || t.Kind() == reflect.Map
	}
	var err error
	switch t.Kind() {
	case reflect.String:
		return v[0] == '"'
	case reflect.Bool:
		return v[0] == 't' || v[0] == 'f'
	case reflect.Slice, reflect.Array:
		return v[0] == '['
	case reflect.Struct, reflect.Map:
		return v[0] == '{'
	case reflect.Float32, reflect.Float64:
		_, err = strconv.ParseFloat(string(v), t.Bits())
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		_, err = strconv.ParseUint(string(v), 10, t.Bits())
	default:
		_, err = strconv.ParseInt(string(v), 10, t.Bits())
	}
	return err == nil
}

// describe returns what a user calls a type.
func describe(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "text"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice, reflect.Array:
		return "an array"
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Float32, reflect.Float64:
		return "a finite number"
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return fmt.Sprintf("a whole number of %d bits, not negative", t.Bits())
	}
	return "a whole number"
}

func (c checker) array(v []byte, t reflect.Type) error {
	if t != nil {
		t = t.Elem()
	}
	i := -1
	return Elements(v, func(item []byte) error {
		if i++; item[0] == '{' || item[0] == '[' || t != nil {
			if err := c.value(item, t); err != nil {
				return inside(fmt.Sprintf("[%d]", i), err)
			}
		}
		return nil
	})
}

func (c checker) object(v []byte, t reflect.Type) error {
	seen := map[string]bool{}
	return Members(v, func(raw, value []byte) error {
		key := string(raw)
		if seen[key] {
			return wrong(key, "key %q appears twice")
		}
		seen[key] = true
		var elem reflect.Type
		switch {
		case t == nil:
		case t.Kind() == reflect.Map:
			elem = t.Elem()
		default:
			var err error
			if elem, err = c.field(key, t); err != nil {
				return err
			}
		}
		if err := c.value(value, elem); err != nil {
			return inside(key, err)
		}
		return nil
	})
}

// field returns the type of the field called key, nil if there is none and none is needed.
func (c checker) field(key string, t reflect.Type) (reflect.Type, error) {
	fields := fieldsOf(t)
	if f, ok := fields[key]; ok {
		return f, nil
	}
	var names []string
	for name := range fields {
		if strings.EqualFold(name, key) {
			return nil, wrong(key, "key %q: keys are case-sensitive; did you mean %q?", name)
		}
		names = append(names, name)
	}
	if !c.strict {
		return nil, nil
	}
	if near := edit.Nearest(key, names, len(key)/3+1); near != "" {
		return nil, wrong(key, "unknown key %q; did you mean %q?", near)
	}
	return nil, wrong(key, "unknown key %q")
}

var fieldCache sync.Map // of map[string]reflect.Type, by reflect.Type

// fieldsOf returns the types of the fields of a struct by the names that encoding/json has
// for them: those of embedded structs count as its own, unless it has one of that name.
func fieldsOf(t reflect.Type) map[string]reflect.Type {
	if fields, ok := fieldCache.Load(t); ok {
		return fields.(map[string]reflect.Type)
	}
	fields := map[string]reflect.Type{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			for inner, typ := range fieldsOf(f.Type) {
				if _, own := fields[inner]; !own {
					fields[inner] = typ
				}
			}
		case name == "-" || !f.IsExported():
		case name == "":
			fields[f.Name] = f.Type
		default:
			fields[name] = f.Type
		}
	}
	fieldCache.Store(t, fields)
	return fields
}

// excerpt returns the beginning of a value as one short line.
func excerpt(v []byte) string {
	const limit = 40
	r := []rune(strings.Join(strings.Fields(string(v[:min(len(v), 4*limit)])), " "))
	if len(r) > limit || len(v) > 4*limit {
		return string(r[:min(len(r), limit)]) + "…"
	}
	return string(r)
}
