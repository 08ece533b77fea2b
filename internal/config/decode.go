package config

import (
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// decoder fills a Config from a tree and collects what is wrong.
type decoder struct{ problems []problem }

func (d *decoder) fail(key, format string, args ...any) {
	d.problems = append(d.problems, problem{keys: []string{key}, message: fmt.Sprintf(format, args...)})
}

// table fills the struct v with the keys of tree, which is at path.
func (d *decoder) table(path string, tree map[string]any, v reflect.Value) {
	fields := fieldsOf(v.Type())
	rest := restOf(v.Type())
	for _, key := range slices.Sorted(maps.Keys(tree)) {
		i := slices.IndexFunc(fields, func(f field) bool { return f.key == key })
		full := join(path, key)
		switch {
		case i >= 0:
			d.value(full, fields[i], tree[key], v.Field(fields[i].index))
		case rest >= 0 && !sameButCase(fields, key):
			if d.param(full, tree[key]) {
				if v.Field(rest).IsNil() {
					v.Field(rest).Set(reflect.ValueOf(map[string]any{}))
				}
				v.Field(rest).SetMapIndex(reflect.ValueOf(key), reflect.ValueOf(tree[key]))
			}
		default:
			d.problems = append(d.problems, problem{keys: []string{full}, atKey: true, message: unknownKey(path, key, fields)})
		}
	}
}

// value stores x, found at path, in v.
func (d *decoder) value(path string, f field, x any, v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		if tree, ok := d.asTable(path, x); ok {
			d.table(path, tree, v)
		}
	case reflect.Map:
		d.rewards(path, x, v)
	case reflect.Slice:
		d.slice(path, f, x, v)
	default:
		d.scalar(path, f, x, v)
	}
}

func (d *decoder) asTable(path string, x any) (map[string]any, bool) {
	tree, ok := x.(map[string]any)
	if !ok {
		d.fail(path, "%s must be a table, found %s", path, describe(x))
	}
	return tree, ok
}

// maxName bounds the names of runs and rewards, which are parts of paths and keys.
const maxName = 100

// rewards fills the map of named rewards.
func (d *decoder) rewards(path string, x any, v reflect.Value) {
	tree, ok := d.asTable(path, x)
	if !ok || len(tree) == 0 {
		return
	}
	v.Set(reflect.MakeMap(v.Type()))
	for _, name := range slices.Sorted(maps.Keys(tree)) {
		full := join(path, name)
		if strings.Contains(full, `"`) || len(name) > maxName {
			d.fail(full, "the name of a reward consists of at most %d letters, digits, \"_\" and \"-\", found %s", maxName, quote(clip(name)))
			continue
		}
		sub, ok := tree[name].(map[string]any)
		if !ok {
			d.fail(full, "%s must be a table, found %s; every reward is a table with a name: [%s.NAME]", full, describe(tree[name]), path)
			continue
		}
		r := reflect.New(v.Type().Elem()).Elem()
		preset := defaultReward()
		if sub["when"] == "evaluation" {
			preset.Weight = 0
		}
		r.Set(reflect.ValueOf(preset))
		d.table(full, sub, r)
		v.SetMapIndex(reflect.ValueOf(name), r)
	}
}

// slice fills v with the elements of an array; an empty array is a nil slice.
func (d *decoder) slice(path string, f field, x any, v reflect.Value) {
	list, ok := x.([]any)
	if !ok {
		d.fail(path, "%s must be an %s, found %s", path, typeName(f.typ), describe(x))
		return
	}
	out := reflect.Zero(v.Type())
	for i, e := range list {
		item := reflect.New(v.Type().Elem()).Elem()
		d.scalar(fmt.Sprintf("%s[%d]", path, i), f, e, item)
		out = reflect.Append(out, item)
	}
	v.Set(out)
}

// scalar stores a string, boolean or number.
func (d *decoder) scalar(path string, f field, x any, v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		if s, ok := x.(string); ok {
			if f.oneof != nil && !slices.Contains(f.oneof, s) {
				d.fail(path, "%s must be %s%s, found %s%s", path, words(f.oneof), f.because(), quote(clip(s)), didYouMean(s, f.oneof, quote))
			}
			v.SetString(s)
			return
		}
	case reflect.Bool:
		if b, ok := x.(bool); ok {
			v.SetBool(b)
			return
		}
	case reflect.Int, reflect.Int64:
		if n, ok := x.(int64); ok {
			if v.OverflowInt(n) {
				d.fail(path, "%s must be %s, found %d", path, f.bound, n)
				return
			}
			d.bounded(path, f, float64(n), strconv.FormatInt(n, 10))
			v.SetInt(n)
			return
		}
	case reflect.Float64:
		n, isInt := x.(int64)
		y, isFloat := x.(float64)
		if isInt {
			y = float64(n)
		}
		if isInt || isFloat {
			d.bounded(path, f, y, strings.TrimPrefix(describe(x), "integer "))
			v.SetFloat(y)
			return
		}
	}
	article := "a"
	if typeName(v.Type()) == "integer" {
		article = "an"
	}
	d.fail(path, "%s must be %s %s, found %s", path, article, typeName(v.Type()), describe(x))
}

// bounded checks a number against the field's interval.
func (d *decoder) bounded(path string, f field, x float64, found string) {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		d.fail(path, "%s must be a finite number, found %s", path, found)
		return
	}
	if !f.bound.contains(x) {
		d.fail(path, "%s must be %s%s, found %s", path, f.bound.violated(x), f.because(), found)
	}
}

// param checks a value that is kept as it is. Dates and arrays of tables have no
// use here and are refused.
func (d *decoder) param(path string, x any) bool {
	switch x := x.(type) {
	case string, bool, int64:
		return true
	case float64:
		if math.IsNaN(x) || math.IsInf(x, 0) {
			d.fail(path, "%s must be a finite number, found %s", clip(path), describe(x))
			return false
		}
		return true
	case []any:
		for i, e := range x {
			if _, isTable := e.(map[string]any); isTable {
				d.fail(path, "%s must not hold tables", clip(path))
				return false
			}
			if !d.param(fmt.Sprintf("%s[%d]", path, i), e) {
				return false
			}
		}
		return true
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(x)) {
			if !d.param(join(path, k), x[k]) {
				return false
			}
		}
		return true
	}
	d.fail(path, "%s must be a string, number, boolean, array or table, found %s", clip(path), describe(x))
	return false
}

// describe says what kind of value was found, and the value if it is short.
func describe(x any) string {
	switch x := x.(type) {
	case string:
		return "string " + quote(clip(x))
	case bool:
		return "boolean " + strconv.FormatBool(x)
	case int64:
		return "integer " + strconv.FormatInt(x, 10)
	case float64:
		return formatFloat(x)
	case []any:
		return "an array"
	case map[string]any:
		return "a table"
	case []map[string]any:
		return "an array of tables"
	case time.Time:
		return "a date or time"
	}
	return fmt.Sprintf("%T", x)
}

// formatFloat returns x as TOML writes it, so that it reads back as the same float.
func formatFloat(x float64) string {
	s := strconv.FormatFloat(x, 'g', -1, 64)
	switch {
	case math.IsNaN(x):
		return "nan"
	case math.IsInf(x, 0):
		return strings.ToLower(strings.TrimPrefix(s, "+"))
	case !strings.ContainsAny(s, ".e"):
		return s + ".0"
	}
	return s
}

// quote returns s as a TOML basic string.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < ' ' || r == 0x7f || r == utf8.RuneError:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
