package main

import (
	"fmt"
	"io"
	"maps"
	"slices"

	"flowgrpo/eval"
	"flowgrpo/internal/display"
)

// printResult prints before and after: the headline mode in rows, the other modes
// below.
func printResult(w io.Writer, r eval.Result) error {
	t := newTable(w)
	row := func(name, gain string, base, tuned eval.Number) { // gain is the key of r.Gain, "" if it has none
		if !base.Known() && !tuned.Known() {
			return
		}
		fmt.Fprintf(t, "%s\t%s\t%s", name, figure(base), figure(tuned))
		if g, ok := r.Gain[gain]; ok {
			fmt.Fprintf(t, "\t%+.3f, 95 %%: %+.3f to %+.3f", float64(g.Mean), float64(g.Interval[0]), float64(g.Interval[1]))
		}
		fmt.Fprintln(t)
	}
	fmt.Fprintln(t, "held-out prompts\tbase\ttuned\tgain")
	row("reward", "reward", r.Base.Reward, r.Tuned.Reward)
	row("judge", "judge", r.Base.Judge, r.Tuned.Judge)
	row("Fréchet distance", "", r.Base.Frechet, r.Tuned.Frechet)
	row("diversity", "", r.Base.Diversity, r.Tuned.Diversity)
	row("KL to base", "", r.Base.KLToBase, r.Tuned.KLToBase)
	for _, name := range slices.Sorted(maps.Keys(r.Base.Categories)) {
		row(name, "categories/"+name, r.Base.Categories[name], r.Tuned.Categories[name])
	}
	for _, name := range slices.Sorted(maps.Keys(r.Base.Modes)) {
		row("reward, "+name, "", r.Base.Modes[name].Reward, r.Tuned.Modes[name].Reward)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, warning := range r.Warnings {
		fmt.Fprintln(w, display.Text(fmt.Sprintf("warning: %s: %s", warning.Name, warning.Message)))
	}
	return nil
}

// figure returns n with three decimals, a dash if it was not measured.
func figure(n eval.Number) string {
	if !n.Known() {
		return "–"
	}
	return fmt.Sprintf("%.3f", float64(n))
}
