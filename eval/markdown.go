package eval

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"flowgrpo/internal/display"
)

// Markdown returns the comparison as tables for a document: before and after, the paired
// differences, and the points of equal reward, if there are any. Notes are not in it.
func (c Comparison) Markdown() string {
	var b strings.Builder
	b.WriteString("| arm | seeds | iterations | training, s | reward | gain | judge | gain | Fréchet, × base | diversity, × base |\n" +
		"|---|---|---|---|---|---|---|---|---|---|\n")
	for _, a := range c.Arms {
		tableRow(&b, a, a.Iterations.text("%.0f", a), a.Seconds.text("%.0f", a),
			a.Before.Reward.text("%.3f", a)+" → "+a.After.Reward.text("%.3f", a), a.Change.Reward.text("%+.3f", a),
			a.Before.Judge.text("%.3f", a)+" → "+a.After.Judge.text("%.3f", a), a.Change.Judge.text("%+.3f", a),
			a.Change.Frechet.text("%.2f", a), a.Change.Diversity.text("%.2f", a))
	}
	fmt.Fprintf(&b, "\nHeld-out prompts, sampler %s; ± is half the range over seeds.\n", cmp.Or(c.Mode, "–"))
	c.pairedMarkdown(&b)
	if !c.EqualReward.Known() {
		return b.String()
	}
	fmt.Fprintf(&b, "\nAt R = %.3f, the highest held-out reward that every run reaches along the way:\n\n", c.EqualReward)
	b.WriteString("| arm | seeds | iterations to R | judge at R | Fréchet at R, × base | diversity at R, × base |\n" +
		"|---|---|---|---|---|---|\n")
	for _, a := range c.Arms {
		tableRow(&b, a, a.IterationsToEqual.text("%.0f", a), a.AtEqual.Judge.text("%.3f", a),
			a.AtEqual.Frechet.text("%.2f", a), a.AtEqual.Diversity.text("%.2f", a))
	}
	return b.String()
}

// pairedMarkdown writes the paired differences to the first arm, or that there are none.
func (c Comparison) pairedMarkdown(b *strings.Builder) {
	if len(c.Arms) < 2 {
		return
	}
	others := c.Arms[1:]
	if !slices.ContainsFunc(others, func(a ArmFigures) bool { return a.Paired != nil }) {
		b.WriteString("\nThe arms are compared by their means, not paired: they were not measured on the same prompts and noise, by the same rewards.\n")
		return
	}
	fmt.Fprintf(b, "\nPaired with %s: differences after training, picture by picture on the same prompts and noise, with 95 %% intervals over prompts:\n\n"+
		"| arm | pictures | reward | judge |\n|---|---|---|---|\n", display.Markdown(c.Arms[0].Label))
	for _, a := range others {
		reward := a.Paired["reward"]
		fmt.Fprintf(b, "| %s | %d | %s | %s |\n", display.Markdown(a.Label), reward.Samples, a.difference("reward"), a.difference("judge"))
	}
}

// difference returns a paired difference with its interval, a dash if there is none.
func (a ArmFigures) difference(figure string) string {
	g, ok := a.Paired[figure]
	if !ok {
		return "–"
	}
	return g.Mean.Text("%+.3f") + " (" + g.Interval[0].Text("%+.3f") + " to " + g.Interval[1].Text("%+.3f") + ")"
}

func tableRow(b *strings.Builder, a ArmFigures, cells ...string) {
	fmt.Fprintf(b, "| %s | %d | %s |\n", display.Markdown(a.Label), len(a.Runs), strings.Join(cells, " | "))
}

// text writes a spread over the runs of a, and how many have the figure if not all.
func (s Spread) text(format string, a ArmFigures) string {
	if s.N == 0 {
		return "–"
	}
	text := s.Mean.Text(format)
	if s.HalfRange > 0 {
		text += " ± " + fmt.Sprintf(strings.ReplaceAll(format, "+", ""), s.HalfRange)
	}
	if s.N < len(a.Runs) {
		text += fmt.Sprintf(" (n = %d)", s.N)
	}
	return text
}
