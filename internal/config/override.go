package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/BurntSushi/toml"
)

// overrides maps the paths that --set arguments gave a value to the argument.
type overrides map[string]string

// apply merges set, "section.key=value", into tree. The value is TOML; what is not
// TOML, or meant for a key that holds text, is taken as text.
func (o overrides) apply(tree map[string]any, set string) error {
	bad := func(message string) error { return setError(set, message) }
	key, value, ok := strings.Cut(set, "=")
	key = strings.TrimSpace(key)
	switch {
	case !ok || key == "":
		return bad("expected section.key=value")
	case len(set) > maxSize || strings.ContainsAny(set, "\n\r") || !utf8.ValidString(set):
		return bad("expected one short line of UTF-8 text")
	}
	added, err := parseSet(key, value)
	if err != nil {
		return bad(err.Error())
	}
	if message := o.merge(tree, added, "", set); message != "" {
		return bad(message)
	}
	return nil
}

// parseSet returns the tree of one assignment.
func parseSet(key, value string) (map[string]any, error) {
	layout, _, err := locate(key + " = " + value)
	if err != nil {
		return nil, err
	}
	if _, err := toml.Decode(key+" = 0", &map[string]any{}); err != nil {
		return nil, fmt.Errorf("%s is not a key", quote(clip(key)))
	}
	path := "" // the longest one, unless value is an inline table
	for p := range layout.spans {
		if strings.Count(p, ".") >= strings.Count(path, ".") {
			path = p
		}
	}
	added := map[string]any{}
	if _, err := toml.Decode(key+" = "+value, &added); err == nil && !(wantsText(path) && !strings.ContainsAny(value, `"'`)) {
		return added, nil
	}
	added = map[string]any{}
	if _, err := toml.Decode(key+" = "+quote(strings.TrimSpace(value)), &added); err != nil {
		return nil, fmt.Errorf("%s is not a value", quote(clip(value)))
	}
	return added, nil
}

// wantsText reports whether the key at path holds a string.
func wantsText(path string) bool {
	section, key, ok := strings.Cut(path, ".")
	if !ok {
		section, key = "", path
	}
	t := reflect.TypeFor[Config]()
	for _, f := range fieldsOf(t) {
		switch {
		case section == "" && f.key == key:
			return f.typ.Kind() == reflect.String
		case section == f.key && f.typ.Kind() == reflect.Struct:
			for _, g := range fieldsOf(f.typ) {
				if g.key == key {
					return g.typ.Kind() == reflect.String
				}
			}
		}
	}
	return false
}

// merge adds the values of from to the tables of to, replacing values that are
// not tables, and notes every path that it gave a value.
func (o overrides) merge(to, from map[string]any, path, set string) string {
	for _, key := range slices.Sorted(maps.Keys(from)) {
		x := from[key]
		full := join(path, key)
		sub, isTable := x.(map[string]any)
		old, exists := to[key]
		oldTable, wasTable := old.(map[string]any)
		switch {
		case isTable && !exists:
			oldTable = map[string]any{}
			to[key] = oldTable
			fallthrough
		case isTable && wasTable:
			if !exists {
				o[full] = set
			}
			if message := o.merge(oldTable, sub, full, set); message != "" {
				return message
			}
		default:
			if wasTable {
				return fmt.Sprintf("%s is a table, found %s", full, describe(x))
			}
			to[key] = x
			o[full] = set
		}
	}
	return ""
}
