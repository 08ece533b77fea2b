package eval

import "math"

// An Agreement compares the trained reward with the independent judge, sample by
// sample. Two honest scorers of one skill differ on single samples but not on
// average; a growing Bias after training is the mark of reward hacking.
type Agreement struct {
	Samples     int    `json:"samples"`       // scored by both
	Correlation Number `json:"correlation"`   // Pearson's; null if one of the two is constant
	AbsDiff     Number `json:"mean_abs_diff"` // mean of |reward - judge|
	Bias        Number `json:"bias"`          // mean of reward - judge
}

func agreement(rows []Row) Agreement {
	var x, y []float64
	for _, r := range rows {
		a, okA := rewardOf(r)
		b, okB := judgeOf(r)
		if okA && okB {
			x, y = append(x, a), append(y, b)
		}
	}
	if len(x) == 0 {
		return Agreement{}
	}
	var abs, diff float64
	for i := range x {
		abs += math.Abs(x[i] - y[i])
		diff += x[i] - y[i]
	}
	n := float64(len(x))
	return Agreement{
		Samples:     len(x),
		Correlation: Number(correlation(x, y)),
		AbsDiff:     Number(abs / n),
		Bias:        Number(diff / n),
	}
}

// correlation is Pearson's, NaN if x or y is constant.
func correlation(x, y []float64) float64 {
	mx, my := mean(x), mean(y)
	var xx, yy, xy float64
	for i := range x {
		dx, dy := x[i]-mx, y[i]-my
		xx += float64(dx * dx)
		yy += float64(dy * dy)
		xy += float64(dx * dy)
	}
	if xx == 0 || yy == 0 {
		return math.NaN()
	}
	return xy / math.Sqrt(xx*yy)
}

func mean(x []float64) float64 {
	if len(x) == 0 {
		return math.NaN()
	}
	var sum float64
	for _, v := range x {
		sum += v
	}
	return sum / float64(len(x))
}
