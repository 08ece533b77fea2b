package eval

import (
	"maps"
	"slices"
)

// pairedResamples is the number of resamples behind the intervals of paired differences.
const pairedResamples = 1000

// paired returns how far b is above a after training, picture by picture, as [Gains] does;
// nil if they were not measured on the same prompts and noise by rewards of the same names.
func paired(a, b Arm) map[string]Gain {
	x, y := a.pictures(), b.pictures()
	if x == nil || y == nil || !samePictures(*x, *y) {
		return nil
	}
	o := Options{Average: a.Runs[0].Run.Average, Resamples: pairedResamples}
	return Gains(Evaluation{Modes: []ModeScore{*x}}, Evaluation{Modes: []ModeScore{*y}}, o)
}

// pictures returns the pictures of the arm after training, with the mean of reward and judge
// over its runs; nil if a run was not measured or was on other pictures.
func (a Arm) pictures() *ModeScore {
	var sum ModeScore
	for i, r := range a.Runs {
		if r.After == nil {
			return nil
		}
		of := ModeScore{Mode: r.After.Mode, Rows: r.After.Rows}
		if i == 0 {
			sum = ModeScore{Mode: of.Mode, Rows: make([]Row, len(of.Rows))}
			for k, row := range of.Rows {
				sum.Rows[k] = Row{Prompt: row.Prompt, Text: row.Text, Category: row.Category, Sample: row.Sample, Rewards: row.Rewards}
			}
		}
		if !samePictures(sum, of) {
			return nil
		}
		for k, row := range of.Rows {
			sum.Rows[k].Reward += row.Reward / Number(len(a.Runs)) // NaN if one run has none
			sum.Rows[k].Judge += row.Judge / Number(len(a.Runs))
		}
	}
	if len(sum.Rows) == 0 {
		return nil
	}
	return &sum
}

// samePictures reports whether two measurements are of the same prompts and, as noise is
// addressed by prompt and sample, from the same noise, by rewards of the same names.
func samePictures(a, b ModeScore) bool {
	return a.Mode == b.Mode && slices.EqualFunc(a.Rows, b.Rows, func(x, y Row) bool {
		return x.Prompt == y.Prompt && x.Text == y.Text && x.Sample == y.Sample &&
			maps.EqualFunc(x.Rewards, y.Rewards, func(Number, Number) bool { return true })
	})
}
