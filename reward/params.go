package reward

import (
	"fmt"
	"math"
)

// Params are the keys of a reward's table in a recipe. The first value of a
// wrong type is kept and reported by [New].
type Params struct {
	name   string // of the reward
	values map[string]any
	err    error
}

// Float returns the number at key, or def if it is not there. It must be finite.
func (p *Params) Float(key string, def float64) float64 {
	switch v := p.values[key].(type) {
	case nil:
	case int:
		return float64(v)
	case int64:
		return float64(v)
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			p.fail(key, "a finite number", v)
			return def
		}
		return v
	default:
		p.fail(key, "a number", v)
	}
	return def
}

// Int returns the whole number at key, or def if it is not there.
func (p *Params) Int(key string, def int) int {
	v := p.Float(key, float64(def))
	if v != math.Trunc(v) || math.Abs(v) > math.MaxInt32 {
		p.fail(key, "a whole number", p.values[key])
		return def
	}
	return int(v)
}

// String returns the string at key, or def if it is not there.
func (p *Params) String(key, def string) string {
	switch v := p.values[key].(type) {
	case nil:
	case string:
		return v
	default:
		p.fail(key, "a string", v)
	}
	return def
}

// Strings returns the list of strings at key, nil if it is not there.
func (p *Params) Strings(key string) []string {
	switch v := p.values[key].(type) {
	case nil:
	case []string:
		return v
	case []any:
		var out []string
		for _, element := range v {
			s, ok := element.(string)
			if !ok {
				p.fail(key, "a list of strings", p.values[key])
				return nil
			}
			out = append(out, s)
		}
		return out
	default:
		p.fail(key, "a list of strings", v)
	}
	return nil
}

// A KeyError is what is wrong with a key of a reward's table in a recipe.
type KeyError struct {
	Reward, Key string
	Err         error
}

// Error implements error; it says the key, and leaves the reward's name out, which [New] says.
func (e *KeyError) Error() string { return e.Err.Error() }

// Unwrap returns the details.
func (e *KeyError) Unwrap() error { return e.Err }

func (p *Params) fail(key, want string, got any) {
	p.failf(key, "%s is %v (%T), want %s", key, got, got, want)
}

func (p *Params) failf(key, format string, args ...any) {
	if p.err == nil {
		p.err = &KeyError{p.name, key, fmt.Errorf(format, args...)}
	}
}

// Err returns the first error of the accessors, nil if there was none. [New] reports
// it; a constructor that starts something asks before it does.
func (p *Params) Err() error { return p.err }
