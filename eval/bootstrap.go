package eval

import (
	"math"
	"slices"

	"flowgrpo/internal/rng"
)

// Level is the coverage of every interval.
const Level = 0.95

// frechetResamples caps the resamples of the Fréchet distance, each of which
// takes an eigenvalue problem.
const frechetResamples = 100

// Bootstrap returns the percentile interval of a statistic of n independent
// units (prompts, not samples: samples of one prompt share their difficulty).
// stat is called with resamples sets of n indices in [0, n), drawn with
// replacement; it must not keep the slice. NaN values are left out; the interval
// is NaN if none is left, or n < 2.
//
// The draws depend only on (seed, n): two statistics of the same prompts are
// resampled alike, so intervals of paired differences are valid.
func Bootstrap(n, resamples int, seed int64, stat func(pick []int) float64) [2]Number {
	return percentiles(bootstrapValues(n, resamples, seed, stat))
}

// percentiles returns the ends of the central Level of x, which it sorts.
func percentiles(x []float64) [2]Number {
	if len(x) == 0 {
		return [2]Number{NaN(), NaN()}
	}
	slices.Sort(x)
	tail := (1 - Level) / 2
	return [2]Number{Number(quantile(x, tail)), Number(quantile(x, 1-tail))}
}

func bootstrapValues(n, resamples int, seed int64, stat func([]int) float64) []float64 {
	if n < 2 {
		return nil
	}
	pick := make([]int, n)
	values := make([]float64, 0, resamples)
	for r := range resamples {
		draw := rng.Key{Seed: seed, Purpose: rng.Bootstrap, Iteration: uint32(r)}.Rand()
		for i := range pick {
			pick[i] = draw.IntN(n)
		}
		if v := stat(pick); !math.IsNaN(v) {
			values = append(values, v)
		}
	}
	return values
}

// quantile interpolates linearly between order statistics; x is sorted.
func quantile(x []float64, q float64) float64 {
	at := float64(q * float64(len(x)-1))
	lo := int(at)
	if lo+1 >= len(x) {
		return x[len(x)-1]
	}
	f := at - float64(lo)
	return x[lo] + float64(f*(x[lo+1]-x[lo]))
}

// intervals bootstraps every figure of s over prompts.
//
// The Fréchet distance of a resample is too large by construction (repeated
// prompts are fewer pictures), so its interval is moved by the difference between
// the measured value and the mean of the resamples.
func intervals(groups []group, sp *spread, s Score, o Options) map[string][2]Number {
	n := len(groups)
	out := map[string][2]Number{}
	add := func(name string, resamples int, stat func([]int) float64) {
		if iv := Bootstrap(n, resamples, o.Seed, stat); iv[0].Known() {
			out[name] = iv
		}
	}
	add("reward", o.Resamples, func(p []int) float64 { return meanReward(groups, p, o.Average, rewardOf) })
	add("judge", o.Resamples, func(p []int) float64 { return meanReward(groups, p, o.Average, judgeOf) })
	for _, name := range sortedKeys(s.Categories) {
		add("categories/"+name, o.Resamples, func(p []int) float64 {
			return tallies(groups, p, rewardOf)[name].mean()
		})
	}
	if sp != nil {
		add("diversity", o.Resamples, sp.diversity)
		if iv := recentred(n, min(o.Resamples, frechetResamples), o.Seed, sp.frechet, float64(s.Frechet)); iv[0].Known() {
			out["frechet"] = iv
		}
	}
	return out
}

// recentred is Bootstrap moved so that the mean of the resamples is at point; the
// lower end is at least 0.
func recentred(n, resamples int, seed int64, stat func([]int) float64, point float64) [2]Number {
	values := bootstrapValues(n, resamples, seed, stat)
	shift := Number(point - mean(values))
	iv := percentiles(values)
	return [2]Number{max(0, iv[0]+shift), iv[1] + shift}
}
