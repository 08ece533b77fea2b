package grpo

import (
	"cmp"
	"math"
	"slices"
)

// Spread says what an advantage is divided by.
type Spread int

// The spreads. The paper divides by the group's standard deviation; the code
// released with it by that of all rewards of the iteration, which does not blow
// up groups whose rewards hardly differ.
const (
	GroupStd Spread = iota
	GlobalStd
)

// spreadEps keeps the division finite, in units of the reward; the value is that
// of the released Flow-GRPO code.
const spreadEps = 1e-4

// zeroSignal is the relative spread below which the rewards of a group count as
// equal: what remains is rounding of the reward, not signal.
const zeroSignal = 1e-9

// A Group holds the rewards of the samples of one prompt; a sample that could not
// be scored has Valid false and takes no part.
type Group struct {
	Rewards []float64
	Valid   []bool
}

// Advantages returns for each group
//
//	Âᵢ = clamp((rᵢ - mean(r)) / (std + 1e-4), ±limit)
//
// with the mean over the group's valid samples and the population standard
// deviation over the group or over the valid samples of all groups (DeepSeekMath,
// arXiv:2402.03300, §4.1). Samples that are not valid get 0, and so does a group
// whose rewards are all equal or that has fewer than two valid samples; signal
// tells which groups have any. A limit of 0 is none.
func Advantages(groups []Group, spread Spread, limit float64) (adv [][]float64, signal []bool) {
	global := 0.0
	if spread == GlobalStd {
		_, global, _ = moments(groups)
	}
	for i := range groups {
		a := make([]float64, len(groups[i].Rewards))
		mean, std, n := moments(groups[i : i+1])
		ok := n >= 2 && std > zeroSignal*max(1, math.Abs(mean))
		if ok {
			if spread == GlobalStd {
				std = global
			}
			for j, r := range groups[i].Rewards {
				if groups[i].Valid[j] {
					a[j] = clamp((r-mean)/(std+spreadEps), limit)
				}
			}
		}
		adv, signal = append(adv, a), append(signal, ok)
	}
	return adv, signal
}

// keep chooses the n valid samples of a group that say most: half of them from the top of
// the ranking by advantage and half from the bottom (one more from the top if n is odd; of
// equal ones the first at the top and the last at the bottom). It returns their indices in
// order, and their advantages less the mean of these, so that what all pictures have in
// common cancels as it does for a whole group; n = 0 is all, as they are. A gradient costs
// several times what a sample does: leaving out the middle buys larger groups. The paper
// updates with every sample.
func keep(advantages []float64, valid []bool, n int) (kept []int, adv []float64) {
	for i, ok := range valid {
		if ok {
			kept = append(kept, i)
		}
	}
	mean := 0.0
	if n > 0 && n < len(kept) {
		slices.SortStableFunc(kept, func(i, j int) int { return cmp.Compare(advantages[j], advantages[i]) })
		kept = slices.Delete(kept, (n+1)/2, len(kept)-n/2)
		slices.Sort(kept)
		for _, i := range kept {
			mean += advantages[i]
		}
		mean /= float64(n)
	}
	for _, i := range kept {
		adv = append(adv, advantages[i]-mean)
	}
	return kept, adv
}

func clamp(x, limit float64) float64 {
	if limit <= 0 {
		return x
	}
	return min(max(x, -limit), limit)
}

// moments returns mean, population standard deviation and count of the valid
// rewards of groups. The standard deviation is exactly 0 if all are equal.
func moments(groups []Group) (mean, std float64, n int) {
	var first float64
	same := true
	each(groups, func(r float64) {
		if n == 0 {
			first = r
		}
		mean += r
		same = same && r == first
		n++
	})
	if n == 0 {
		return 0, 0, 0
	}
	mean /= float64(n)
	if same {
		return first, 0, n
	}
	each(groups, func(r float64) { std += float64((r - mean) * (r - mean)) })
	return mean, math.Sqrt(std / float64(n)), n
}

func each(groups []Group, visit func(r float64)) {
	for _, g := range groups {
		for i, r := range g.Rewards {
			if g.Valid[i] {
				visit(r)
			}
		}
	}
}
