package reward

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// Duration returns the duration at key, a string such as "90s" or "1m30s", or def if
// it is not there. It must be more than 0.
func (p *Params) Duration(key string, def time.Duration) time.Duration {
	switch v := p.values[key].(type) {
	case nil:
	case string:
		if d, err := time.ParseDuration(v); err == nil && d > 0 {
			return d
		}
		p.fail(key, `a duration of more than 0, such as "60s"`, v)
	case int, int64, float64:
		p.failf("%s needs a unit, for example \"%vs\"; found %v", key, v, v)
	default:
		p.fail(key, `a duration, such as "60s"`, v)
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

// Size returns the number of bytes at key, a string such as "4GiB" or "512 MB", or def
// if it is not there. It must be more than 0.
func (p *Params) Size(key string, def int64) int64 {
	switch v := p.values[key].(type) {
	case nil:
	case string:
		if n, ok := parseSize(v); ok {
			return n
		}
		p.fail(key, `a size of more than 0, such as "512MiB"`, v)
	case int, int64, float64:
		p.failf("%s needs a unit, for example \"%vMiB\"; found %v", key, v, v)
	default:
		p.fail(key, `a size, such as "512MiB"`, v)
	}
	return def
}

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
