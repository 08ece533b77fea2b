package eval

import (
	"fmt"
	"slices"
	"strings"
)

// notes says what limits the comparison.
func notes(arms []Arm) []string {
	var out []string
	var runs []Course
	for _, a := range arms {
		runs = append(runs, a.Runs...)
	}
	add := func(what, text string) {
		if text != "" {
			out = append(out, what+": "+text)
		}
	}
	ends, course := differing(runs, endsProtocols), differing(runs, courseProtocols)
	add("before and after were not measured alike", ends)
	if course != ends {
		add("the evaluations along the way were not measured alike", course)
	}
	if ends == "" {
		add("the figures of the base differ", differing(runs, baseFigures))
	}
	for _, r := range runs {
		if r.Run.State != "done" {
			out = append(out, unfinished(r))
		}
	}
	return out
}

// differing groups runs by what is said of them, and lists the groups if there are
// several.
func differing(runs []Course, say func(Course) []string) string {
	groups := map[string][]string{}
	for _, r := range runs {
		for _, text := range say(r) {
			if !slices.Contains(groups[text], r.Run.Name) {
				groups[text] = append(groups[text], r.Run.Name)
			}
		}
	}
	if len(groups) < 2 {
		return ""
	}
	var parts []string
	for _, text := range sortedKeys(groups) {
		parts = append(parts, text+" ("+strings.Join(groups[text], ", ")+")")
	}
	return strings.Join(parts, "; ")
}

func endsProtocols(c Course) []string {
	var out []string
	for _, m := range []*Measurement{c.Before, c.After} {
		if m != nil {
			out = append(out, m.protocol())
		}
	}
	return out
}

func courseProtocols(c Course) []string {
	var out []string
	for _, m := range c.Points {
		out = append(out, m.protocol())
	}
	return out
}

func baseFigures(c Course) []string {
	if c.Before == nil {
		return nil
	}
	var known []string
	for _, f := range []struct {
		name  string
		value Number
	}{{"reward", c.Before.Reward}, {"judge", c.Before.Judge}, {"Fréchet", c.Before.Frechet}, {"diversity", c.Before.Diversity}} {
		if f.value.Known() {
			known = append(known, fmt.Sprintf("%s %.4g", f.name, f.value))
		}
	}
	return []string{strings.Join(known, ", ")}
}

func unfinished(c Course) string {
	text := fmt.Sprintf("%s is not finished (%s, %d of %d iterations): ", c.Run.Name, c.Run.State, c.Iterations, c.Run.Iterations)
	if c.After == nil {
		return text + "it has no figures after the base yet"
	}
	return text + fmt.Sprintf("its figures are those of iteration %d", c.After.Iteration)
}
