package grpo

import (
	"math"

	"flowgrpo/reward"
)

// A Share is the weight of one part of the reward in [Decoupled] advantages.
type Share struct {
	Part   string // a key of [reward.Result.Parts]
	Weight float64
}

// Decoupled returns advantages that are made for every part of the reward on its own and
// then weighed:
//
//	Âᵢ = clamp(Σ over shares of w · (pᵢ - mean(p)) / (std(p) + 1e-4), ±limit),   Σ|w| = 1
//
// so that a part counts by its weight and not by how widely it happens to be spread, as it
// does in the advantages of a weighted sum. Only the ratios of the weights matter. It is in
// the manner of GDPO (arXiv:2601.05242), where every reward has advantages of its own, whose
// sum is then divided by its standard deviation over the batch; here Σ|w| = 1 keeps it in
// bounds, and a group is not moved by others.
// results are those of the groups, in order; a sample that is not valid, or lacks a part,
// gets 0 for it. signal tells which groups have any. See [Advantages].
func Decoupled(results []reward.Result, groups []Group, shares []Share, spread Spread, limit float64) (adv [][]float64, signal []bool) {
	signal = make([]bool, len(groups))
	for _, g := range groups {
		adv = append(adv, make([]float64, len(g.Rewards)))
	}
	all := 0.0
	for _, share := range shares {
		all += math.Abs(share.Weight)
	}
	for _, share := range shares {
		parts, some := Advantages(partOf(results, groups, share.Part), spread, 0)
		for g := range groups {
			signal[g] = signal[g] || some[g] && share.Weight != 0
			for i, a := range parts[g] {
				adv[g][i] += float64(share.Weight / all * a)
			}
		}
	}
	for g := range adv {
		for i, a := range adv[g] {
			adv[g][i] = clamp(a, limit)
		}
	}
	return adv, signal
}

func checkShares(shares []Share) {
	names, all := map[string]bool{}, 0.0
	for _, s := range shares {
		if s.Part == "" || names[s.Part] {
			panic("grpo: shares need names, each its own")
		}
		names[s.Part] = true
		all += math.Abs(s.Weight)
	}
	if len(shares) > 0 && !(all > 0 && all <= math.MaxFloat64) {
		panic("grpo: the weights of shares must be finite and not all 0")
	}
}

// partOf returns groups with one part of the results in the place of the total.
func partOf(results []reward.Result, groups []Group, part string) []Group {
	out, at := make([]Group, len(groups)), 0
	for g := range groups {
		for _, valid := range groups[g].Valid {
			v, ok := results[at].Parts[part]
			out[g].Rewards = append(out[g].Rewards, v)
			out[g].Valid = append(out[g].Valid, valid && ok)
			at++
		}
	}
	return out
}
