package eval

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// A Number is a measured value. NaN means "not measured", and is null in JSON,
// which has no NaN; infinities are null too.
type Number float64

// NaN is the Number of what was not measured.
func NaN() Number { return Number(math.NaN()) }

// Known reports whether n is a finite value.
func (n Number) Known() bool { return !math.IsNaN(float64(n)) && !math.IsInf(float64(n), 0) }

// Equal reports whether n and m are the same value or both unknown.
func (n Number) Equal(m Number) bool { return n == m || !n.Known() && !m.Known() }

// Text returns n by a format of package fmt, a dash if n is not known. What rounds to zero
// has no minus.
func (n Number) Text(format string) string {
	if !n.Known() {
		return "–"
	}
	text := fmt.Sprintf(format, float64(n))
	if strings.Trim(text, "-0.") == "" {
		return fmt.Sprintf(format, 0.0)
	}
	return text
}

// Figure returns the figure called name, NaN if there is none.
func Figure(figures map[string]Number, name string) Number {
	if v, ok := figures[name]; ok {
		return v
	}
	return NaN()
}

// MarshalJSON writes the shortest decimal that reads back as n.
func (n Number) MarshalJSON() ([]byte, error) {
	if !n.Known() {
		return []byte("null"), nil
	}
	return json.Marshal(float64(n))
}

// UnmarshalJSON reads a JSON number or null.
func (n *Number) UnmarshalJSON(b []byte) error {
	if bytes.Equal(b, []byte("null")) {
		*n = NaN()
		return nil
	}
	f, err := strconv.ParseFloat(string(b), 64)
	*n = Number(f)
	return err
}
