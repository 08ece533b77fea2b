package eval

import (
	"encoding/base64"
	"fmt"
	"html/template"
	"math"
	"time"
)

func signed(v Number) string {
	if !v.Known() {
		return "–"
	}
	s := format(math.Abs(float64(v)))
	if s == "0" {
		return s
	}
	if v < 0 {
		return "−" + s
	}
	return "+" + s
}

func interval(iv [2]Number) string {
	return format(float64(iv[0])) + " to " + format(float64(iv[1]))
}

func duration(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second)).Round(time.Second)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
}

// thousands writes a count with narrow spaces.
func thousands(v float64) string {
	s := fmt.Sprintf("%.0f", v)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "\u202f" + s[i:]
	}
	return s
}

// dataURI returns a PNG as an address that needs no file.
func dataURI(file []byte) template.URL {
	return template.URL("data:image/png;base64," + base64.StdEncoding.EncodeToString(file))
}
