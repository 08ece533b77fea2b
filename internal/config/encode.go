package config

import (
	"bytes"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
)

// Encode returns c as a recipe that sets every key. Loading it gives c again,
// except for Path. Equal configs give equal bytes.
func Encode(c *Config) ([]byte, error) {
	var b bytes.Buffer
	section := ""
	each(c, func(path string, f field, _ reflect.Type, v reflect.Value) {
		if strings.HasPrefix(path, "reward.") {
			return
		}
		if s, _, ok := strings.Cut(path, "."); ok && s != section {
			section = s
			b.WriteString("\n[" + s + "]\n")
		}
		b.WriteString(f.key + " = " + encodeValue(v) + "\n")
	})
	for _, name := range sortedNames(c.Reward) {
		b.WriteString("\n")
		if err := encodeReward(&b, name, c.Reward[name]); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}

// encodeReward writes the table of a reward, its parameters last.
func encodeReward(b *bytes.Buffer, name string, r Reward) error {
	header, v := "[reward."+name+"]\n", reflect.ValueOf(r)
	b.WriteString(header)
	for _, f := range fieldsOf(v.Type()) {
		b.WriteString(f.key + " = " + encodeValue(v.Field(f.index)) + "\n")
	}
	if len(r.Params) == 0 {
		return nil
	}
	var t bytes.Buffer
	e := toml.NewEncoder(&t)
	e.Indent = ""
	if err := e.Encode(map[string]any{"reward": map[string]any{name: r.Params}}); err != nil {
		return err
	}
	b.WriteString(strings.TrimPrefix(t.String(), "[reward]\n"+header))
	return nil
}

// encodeValue returns a string, boolean, number or slice as TOML.
func encodeValue(v reflect.Value) string {
	switch v.Kind() {
	case reflect.String:
		return quote(v.String())
	case reflect.Bool:
		return strconv.FormatBool(v.Bool())
	case reflect.Int, reflect.Int64:
		return strconv.FormatInt(v.Int(), 10)
	case reflect.Float64:
		return formatFloat(v.Float())
	case reflect.Slice:
		items := make([]string, v.Len())
		for i := range items {
			items[i] = encodeValue(v.Index(i))
		}
		return "[" + strings.Join(items, ", ") + "]"
	}
	panic("config: no encoding for " + v.Type().String())
}

func sortedNames(m map[string]Reward) []string { return slices.Sorted(maps.Keys(m)) }
