package eval

import (
	"fmt"
	"strings"
)

// verdict returns the sentence that nothing warns, with the names of what was held to a
// limit. It is "" if something warns, and if nothing could: where nothing was trained,
// where the reward has not risen, and where there is no other figure.
func verdict(res *Result, warnings []Warning, l Limits) string {
	base, tuned := res.Base.point(), res.Tuned.point()
	if len(warnings) > 0 || tuned.Iteration == 0 || !rose(base, tuned, l) {
		return ""
	}
	var names []string
	for _, f := range []struct {
		name        string
		base, tuned Number
	}{
		{"the judge", base.Judge, tuned.Judge},
		{"Fréchet distance", base.Frechet, tuned.Frechet},
		{"diversity", base.Diversity, tuned.Diversity},
	} {
		if f.base.Known() && f.tuned.Known() {
			names = append(names, f.name)
		}
	}
	switch n := len(names) - 1; n {
	case -1:
		return ""
	case 0:
		return fmt.Sprintf("No warning: %s is within its limit.", names[0])
	default:
		return fmt.Sprintf("No warning: %s and %s are within their limits.", strings.Join(names[:n], ", "), names[n])
	}
}
