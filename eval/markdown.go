package eval

import (
	"cmp"
	"fmt"
	"strings"

	"flowgrpo/internal/display"
)

// Markdown returns the comparison as two tables for a document: before and after,
// and the points of equal reward, if there are any. Notes are not in it.
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
