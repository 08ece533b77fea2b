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
		fmt.Fprintf(t, "%s\t%s\t%s", name, figure(base), figure(tuned))
		if g, ok := r.Gain[gain]; ok {
			fmt.Fprintf(t, "\t%s, 95 %%: %s to %s", g.Mean.Text("%+.3f"), g.Interval[0].Text("%+.3f"), g.Interval[1].Text("%+.3f"))
		}
		fmt.Fprintln(t)
	}
	measured := func(name, gain string, base, tuned eval.Number) {
		if base.Known() || tuned.Known() {
			row(name, gain, base, tuned)
		}
	}
	fmt.Fprintln(t, "held-out prompts\tbase\ttuned\tgain")
	fmt.Fprintf(t, "pictures\t%d\t%d\n", r.Base.Samples, r.Tuned.Samples)
	row("reward", "reward", r.Base.Reward, r.Tuned.Reward)
	measured("judge", "judge", r.Base.Judge, r.Tuned.Judge)
	measured("Fréchet distance", "", r.Base.Frechet, r.Tuned.Frechet)
	measured("diversity", "", r.Base.Diversity, r.Tuned.Diversity)
	measured("KL to base", "", r.Base.KLToBase, r.Tuned.KLToBase)
	for _, name := range r.RewardNames() {
		row("reward "+name, "rewards/"+name, eval.Figure(r.Base.Rewards, name), eval.Figure(r.Tuned.Rewards, name))
	}
	for _, name := range r.CategoryNames() {
		row(name, "categories/"+name, eval.Figure(r.Base.Categories, name), eval.Figure(r.Tuned.Categories, name))
	}
	for _, name := range slices.Sorted(maps.Keys(r.Base.Modes)) {
		base, tuned := r.Base.Modes[name], r.Tuned.Modes[name]
		measured(fmt.Sprintf("reward, %s (%d pictures)", name, tuned.Samples), "", base.Reward, tuned.Reward)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if text := r.Unscored(); text != "" {
		fmt.Fprintln(w, display.Text(text))
	}
	if text := r.Losses.String(); text != "" {
		fmt.Fprintln(w, display.Text(text))
	}
	for _, warning := range r.Warnings {
		fmt.Fprintln(w, display.Text(fmt.Sprintf("warning: %s: %s", warning.Name, warning.Message)))
	}
	return nil
}

// figure returns n with three decimals, a dash if it was not measured.
func figure(n eval.Number) string { return n.Text("%.3f") }
