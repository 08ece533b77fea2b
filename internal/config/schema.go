package config

import (
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"sync"
)

// A field is one key of a section: a struct field with its tags read.
type field struct {
	key    string
	index  int
	typ    reflect.Type
	bound  interval
	oneof  []string // nil if any string will do
	why    string   // reason of the bound or of the words; may be empty
	goName string   // for the doc comment
}

// because returns the reason of the bound in brackets, "" if there is none.
func (f field) because() string {
	if f.why == "" {
		return ""
	}
	return " (" + f.why + ")"
}

// restKey is the toml tag of the field that takes the keys a table does not know.
const restKey = "*"

// fieldsOf returns the keys of a section in order, without the rest.
var fieldsOf = func() func(t reflect.Type) []field {
	var cache sync.Map
	return func(t reflect.Type) []field {
		if c, ok := cache.Load(t); ok {
			return c.([]field)
		}
		var fields []field
		for i := range t.NumField() {
			f := t.Field(i)
			key := f.Tag.Get("toml")
			if key == "-" || key == restKey {
				continue
			}
			out := field{key: key, index: i, typ: f.Type, why: f.Tag.Get("why"), goName: f.Name, bound: parseInterval(f.Tag.Get("in"))}
			for _, w := range strings.Fields(f.Tag.Get("oneof")) {
				out.oneof = append(out.oneof, strings.TrimPrefix(w, "_")) // "_" is the empty word
			}
			fields = append(fields, out)
		}
		cache.Store(t, fields)
		return fields
	}
}()

// restOf returns the index of the field that takes unknown keys, -1 if none does.
func restOf(t reflect.Type) int {
	for i := range t.NumField() {
		if t.Field(i).Tag.Get("toml") == restKey {
			return i
		}
	}
	return -1
}

// An interval bounds a number; either end may be open or infinite.
type interval struct {
	lo, hi         float64
	openLo, openHi bool
}

// parseInterval reads "[0,1)"; the empty string is no bound. It panics on anything
// else, as tags are part of the program.
func parseInterval(s string) interval {
	if s == "" {
		return interval{lo: math.Inf(-1), hi: math.Inf(1)}
	}
	lo, hi, ok := strings.Cut(s[1:len(s)-1], ",")
	a, err1 := strconv.ParseFloat(lo, 64)
	b, err2 := strconv.ParseFloat(hi, 64)
	if !ok || err1 != nil || err2 != nil || !strings.Contains("[(", s[:1]) || !strings.Contains("])", s[len(s)-1:]) {
		panic("config: bad interval " + s)
	}
	return interval{a, b, s[0] == '(', s[len(s)-1] == ')'}
}

func (b interval) contains(x float64) bool {
	return (x > b.lo || x == b.lo && !b.openLo) && (x < b.hi || x == b.hi && !b.openHi)
}

// String returns "in [0, 1)".
func (b interval) String() string {
	if math.IsInf(b.lo, -1) && math.IsInf(b.hi, 1) {
		return ""
	}
	open, end := "[", "]"
	if b.openLo {
		open = "("
	}
	if b.openHi {
		end = ")"
	}
	return fmt.Sprintf("in %s%v, %v%s", open, b.lo, b.hi, end)
}

// violated says which end x is beyond: "> 0", "<= 10".
func (b interval) violated(x float64) string {
	op, end, open := ">", b.lo, b.openLo
	if x >= b.hi {
		op, end, open = "<", b.hi, b.openHi
	}
	if !open {
		op += "="
	}
	return op + " " + strconv.FormatFloat(end, 'g', -1, 64)
}

// typeName returns what a user calls a type.
func typeName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "string"
	case reflect.Bool:
		return "boolean"
	case reflect.Int, reflect.Int64:
		return "integer"
	case reflect.Float64:
		return "number"
	case reflect.Slice:
		return "array of " + typeName(t.Elem()) + "s"
	}
	return "table"
}
