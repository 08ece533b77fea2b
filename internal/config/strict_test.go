package config

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strconv"
	"strings"
	"testing"
)

// A variant is a way to get a key wrong, and words that the error must have.
type variant struct {
	name, line string
	want       []string
}

// variants are the wrong lines for a key.
func variants(f field) []variant {
	key := f.key
	wrong := map[bool]string{true: "1", false: `"x"`}[f.typ.Kind() == reflect.String]
	out := []variant{
		{"misspelt", key + "_ = 1", []string{"unknown key"}},
		{"case", strings.ToUpper(key) + " = 1", []string{"unknown key", "keys are case-sensitive; did you mean"}},
		{"type", key + " = " + wrong, []string{"must be a", "found"}},
		{"table", key + " = {x = 1}", []string{"must be a", "found a table"}},
		{"date", key + " = 2024-01-01", []string{"must be a", "found a date or time"}},
		{"empty", key + " = ", []string{"expected value"}},
		{"in pieces", key + ".x = 1", []string{"must be a", "found a table"}},
	}
	value := func(name, v string, want ...string) {
		if f.typ.Kind() == reflect.Slice {
			v = "[" + v + "]"
		}
		out = append(out, variant{name, key + " = " + v, want})
	}
	switch elem := scalarOf(f.typ); elem {
	case reflect.String:
		if f.oneof != nil {
			value("another word", `"x x"`, "must be \"", `found "x x"`)
		}
	case reflect.Float64, reflect.Int, reflect.Int64:
		value("not a number", "nan", "must be a", "found nan")
		value("infinite", "-inf", "must be a", "found -inf")
		value("overflow", "1e999", "out of range")
		value("overflow of an integer", "9223372036854775808", "out of range")
		step := map[bool]float64{true: 1, false: 0}
		if b := f.bound; !math.IsInf(b.lo, 0) {
			value("too small", number(b.lo-step[!b.openLo], elem), "must be >", "found ")
			value("too large", number(b.hi+step[!b.openHi], elem), "must be <", "found ")
		}
	}
	return out
}

func scalarOf(t reflect.Type) reflect.Kind {
	if t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	return t.Kind()
}

func number(x float64, kind reflect.Kind) string {
	if kind == reflect.Float64 {
		return formatFloat(x)
	}
	return strconv.FormatFloat(x, 'f', -1, 64)
}

// TestEveryKeyIsStrict: no key takes what is misspelt, of another type, not finite or out of
// range, and the error is where the mistake is.
func TestEveryKeyIsStrict(t *testing.T) {
	c := Default()
	c.Reward = map[string]Reward{"a": defaultReward()}
	n := 0
	each(&c, func(path string, f field, _ reflect.Type, _ reflect.Value) {
		header := ""
		if section := strings.TrimSuffix(path, f.key); section != "" {
			header = "[" + strings.TrimSuffix(section, ".") + "]"
		}
		all := variants(f)
		all = append(all, variant{"twice", f.key + " = 1\n" + f.key + " = 1", []string{"is already set on line 2"}})
		for _, v := range all {
			if strings.HasPrefix(path, "reward.") && v.name == "misspelt" {
				continue // it may be a parameter of the kind
			}
			n++
			_, err := parse(header + "\n" + v.line)
			e, ok := errors.AsType[*Error](err)
			if !ok || e.File != "r.toml" || e.Line != 2 && v.name != "twice" || e.Col == 0 {
				t.Errorf("%s, %s (%s): %v, want an error in line 2", path, v.name, v.line, err)
				continue
			}
			for _, want := range v.want {
				if !strings.Contains(e.Message, want) {
					t.Errorf("%s, %s (%s): %s, want %q in it", path, v.name, v.line, e.Message, want)
				}
			}
		}
	})
	if n < 800 { // some 100 keys in some 8 variants
		t.Errorf("%d variants were tried", n)
	}
}

// TestTwoCasesAreOneError: without a check it is a lottery, as the TOML library matches the
// keys of structs in any case and lets the order of a map choose.
func TestTwoCasesAreOneError(t *testing.T) {
	for _, text := range []string{"[optimizer]\nLR = 0.1\nlr = 0.2", "[optimizer]\nlr = 0.2\nLR = 0.1", "[optimizer]\nLr = 0.1\nlR = 0.2"} {
		_, first := parse(text)
		for range 1000 {
			if _, err := parse(text); err == nil || err.Error() != first.Error() {
				t.Fatalf("%q: %v after %v", text, err, first)
			}
		}
	}
}

// nested writes a value of random form and returns how deeply its lists and tables nest.
func nested(b *strings.Builder, r *rand.Rand, depth int) int {
	deepest := depth
	open, end := "[", "]"
	switch r.IntN(8) {
	case 0:
		b.WriteString(`"]]]]]]]]]]]]]]]]]]]] \" [[[[[[[[[[[[[[[[[[[[[["`)
		return depth
	case 1:
		b.WriteString(`'''[[[[[[[[[[[[[[[[[[[['{{{{{{{{{{{{{{{{{{{{{{{{{'''`)
		return depth
	case 2:
		b.WriteString("17")
		return depth
	case 3, 4:
		open, end = "{", "}"
	}
	b.WriteString(open)
	for i := range 1 + r.IntN(2) {
		if i > 0 {
			b.WriteString(", ")
		}
		if open == "{" {
			fmt.Fprintf(b, "k%d = ", i)
		} else if r.IntN(2) == 0 {
			b.WriteString("# [[[[[[[[[[[[[[[[[[[ \"\n")
		}
		if depth < 30 {
			deepest = max(deepest, nested(b, r, depth+1))
		} else {
			b.WriteString("1")
			deepest = max(deepest, depth+1)
		}
	}
	b.WriteString(end)
	return deepest
}

// TestDepth: the depth that is counted before the TOML parser runs is that of the text.
func TestDepth(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	seen := map[bool]int{}
	for range 3000 {
		var b strings.Builder
		b.WriteString("[reward.a]\nkind = \"text\"\nx = ")
		deep := nested(&b, r, 0) > maxDepth
		_, _, err := Recipe{Path: "r.toml", Text: b.String()}.parse()
		if got := err != nil && strings.Contains(err.Error(), "nested deeper than 16 levels"); got != deep || err != nil && !deep {
			t.Fatalf("%v, and that it is too deep is %v:\n%s", err, deep, b.String())
		}
		seen[deep]++
	}
	if seen[true] < 100 || seen[false] < 100 {
		t.Errorf("%d texts were too deep, %d were not", seen[true], seen[false])
	}
}
