package reward

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Duration returns the duration at key, a string such as "90s" or "1m30s", or def if
// it is not there. It must be more than 0.
func (p *Params) Duration(key string, def time.Duration) time.Duration {
	return quantity(p, key, def, "a duration", "60s", func(s string) (time.Duration, bool) {
		d, err := time.ParseDuration(s)
		return d, err == nil && d > 0
	})
}

// Size returns the number of bytes at key, a string such as "4GiB" or "512 MB", or def
// if it is not there. It must be more than 0.
func (p *Params) Size(key string, def int64) int64 {
	return quantity(p, key, def, "a size", "512MiB", parseSize)
}

// quantity returns what parse makes of the string at key, or def if it is not there. what
// it is, and an example with a unit, are for errors.
func quantity[T any](p *Params, key string, def T, what, example string, parse func(string) (T, bool)) T {
	switch v := p.values[key].(type) {
	case nil:
	case string:
		if x, ok := parse(v); ok {
			return x
		}
		p.fail(key, fmt.Sprintf("%s of more than 0, such as %q", what, example), v)
	case int, int64, float64:
		p.failf(key, "%s needs a unit, for example \"%v%s\"; found %v", key, v, strings.TrimLeft(example, "0123456789"), v)
	default:
		p.fail(key, fmt.Sprintf("%s, such as %q", what, example), v)
	}
	return def
}

// units are the units of sizes, in bytes.
var units = []struct {
	name  string
	bytes float64
}{
	{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"B", 1},
}

// parseSize reads a number of bytes with its unit.
func parseSize(s string) (int64, bool) {
	for _, u := range units {
		number, ok := strings.CutSuffix(s, u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		n *= u.bytes
		return int64(n), err == nil && n >= 1 && n < math.MaxInt64
	}
	return 0, false
}

// Table returns the table at key, nil if it is not there. It is not a copy.
func (p *Params) Table(key string) map[string]any {
	table, ok := p.values[key].(map[string]any)
	if !ok && p.values[key] != nil {
		p.fail(key, "a table", p.values[key])
	}
	return table
}
