package grpo

import (
	"math"
	"slices"
	"testing"
)

// group returns a group in which NaN stands for a sample that could not be scored.
func group(rewards ...float64) Group {
	g := Group{Rewards: rewards}
	for _, r := range rewards {
		g.Valid = append(g.Valid, r == r)
	}
	return g
}

func TestAdvantages(t *testing.T) {
	t.Parallel()
	nan := math.NaN()
	third := math.Sqrt(2. / 3) // population standard deviation of 0, 1, 2
	low := math.Sqrt(1. / 8)   // how far the eight of nine are below the mean, in standard deviations
	for _, c := range []struct {
		name   string
		groups []Group
		spread Spread
		limit  float64
		want   [][]float64
		signal []bool
		reason string
	}{
		{
			name: "plain", groups: []Group{group(0, 1, 2)},
			want: [][]float64{{-1 / (third + 1e-4), 0, 1 / (third + 1e-4)}}, signal: []bool{true},
			reason: "(r - mean)/(population std + 1e-4)",
		},
		{
			name: "all equal", groups: []Group{group(0.1, 0.1, 0.1)},
			want: [][]float64{{0, 0, 0}}, signal: []bool{false},
			reason: "3·0.1/3 is not 0.1 in floating point, yet the result is exactly 0",
		},
		{
			name: "equal up to rounding", groups: []Group{group(0.3, 0.1+0.2, 0.3)},
			want: [][]float64{{0, 0, 0}}, signal: []bool{false},
			reason: "the last bit of a reward is not a preference",
		},
		{
			name: "equal up to rounding, large", groups: []Group{group(1e6, 1e6+1e-10, 1e6)},
			want: [][]float64{{0, 0, 0}}, signal: []bool{false},
			reason: "rounding grows with the size of the reward",
		},
		{
			name: "small but real", groups: []Group{group(0, 1e-6)},
			want: [][]float64{{-5e-7 / (5e-7 + 1e-4), 5e-7 / (5e-7 + 1e-4)}}, signal: []bool{true},
			reason: "1e-4 keeps a difference that hardly matters from counting fully",
		},
		{
			name: "a failure", groups: []Group{group(0, nan, 2)},
			want: [][]float64{{-1 / (1 + 1e-4), 0, 1 / (1 + 1e-4)}}, signal: []bool{true},
			reason: "mean 1 and std 1 are those of the two that were scored; a failure is not a 0",
		},
		{
			name: "one valid", groups: []Group{group(nan, 5, nan)},
			want: [][]float64{{0, 0, 0}}, signal: []bool{false},
			reason: "nothing to compare it with",
		},
		{
			name: "none valid", groups: []Group{group(nan, nan)},
			want: [][]float64{{0, 0}}, signal: []bool{false},
			reason: "no 0/0",
		},
		{
			name: "limit", groups: []Group{group(0, 0, 0, 0, 0, 0, 0, 0, 10)}, limit: 2,
			want: [][]float64{{-low, -low, -low, -low, -low, -low, -low, -low, 2}}, signal: []bool{true},
			reason: "one in nine is 2.83 standard deviations out; std is 3.14, so 1e-4 hardly shows",
		},
		{
			name: "global", groups: []Group{group(0, 1), group(0, 3), group(7, 7)}, spread: GlobalStd,
			want:   [][]float64{{-0.5 / (3 + 1e-4), 0.5 / (3 + 1e-4)}, {-1.5 / (3 + 1e-4), 1.5 / (3 + 1e-4)}, {0, 0}},
			signal: []bool{true, true, false},
			reason: "means of the groups, one std: of 0 1 0 3 7 7, mean 3 and variance 9; a group without signal has none under either",
		},
		{
			name: "global with a failure", groups: []Group{group(0, 2), group(nan, 1)}, spread: GlobalStd,
			want:   [][]float64{{-1 / (third + 1e-4), 1 / (third + 1e-4)}, {0, 0}},
			signal: []bool{true, false},
			reason: "the lone sample still counts in the global std",
		},
	} {
		adv, signal := Advantages(c.groups, c.spread, c.limit)
		for i := range c.want {
			if signal[i] != c.signal[i] {
				t.Errorf("%s: signal of group %d = %t, want %t: %s", c.name, i, signal[i], c.signal[i], c.reason)
			}
			for j, want := range c.want[i] {
				tolerance := 1e-12
				if want == 0 {
					tolerance = 0 // zero is exact or it is a gradient
				}
				if c.limit > 0 {
					tolerance = 2e-5
				}
				if got := adv[i][j]; !(math.Abs(got-want) <= tolerance) {
					t.Errorf("%s: advantage %d of group %d = %v, want %v: %s", c.name, j, i, got, want, c.reason)
				}
			}
		}
	}
}

// Advantages do not change when a constant is added to all rewards of a group, and
// hardly when all are scaled.
func TestAdvantagesInvariances(t *testing.T) {
	t.Parallel()
	base, _ := Advantages([]Group{group(0.5, 0.25, 1, 0.125)}, GroupStd, 0)
	shifted, _ := Advantages([]Group{group(8.5, 8.25, 9, 8.125)}, GroupStd, 0)
	scaled, _ := Advantages([]Group{group(512, 256, 1024, 128)}, GroupStd, 0)
	for i, want := range base[0] {
		if math.Abs(shifted[0][i]-want) > 1e-12 {
			t.Errorf("shifted by 8: advantage %d = %v, want %v", i, shifted[0][i], want)
		}
		// 1e-4 against a std of 0.33 is 3e-4.
		if math.Abs(scaled[0][i]-want) > 4e-4*math.Abs(want) {
			t.Errorf("times 1024: advantage %d = %v, want %v", i, scaled[0][i], want)
		}
	}
}

func TestKeep(t *testing.T) {
	t.Parallel()
	adv := []float64{0.25, -2, 1, 3, -1, 0.25}
	valid := []bool{true, true, true, false, true, true}
	for n, want := range map[int]struct {
		kept []int
		adv  []float64
	}{
		0: {[]int{0, 1, 2, 4, 5}, []float64{0.25, -2, 1, -1, 0.25}}, // all, as they are
		2: {[]int{1, 2}, []float64{-1.5, 1.5}},
		3: {[]int{0, 1, 2}, []float64{0.5, -1.75, 1.25}}, // of the two that are equal the first
		4: {[]int{0, 1, 2, 4}, []float64{0.6875, -1.5625, 1.4375, -0.5625}},
		5: {[]int{0, 1, 2, 4, 5}, []float64{0.25, -2, 1, -1, 0.25}},
		6: {[]int{0, 1, 2, 4, 5}, []float64{0.25, -2, 1, -1, 0.25}},
	} {
		kept, got := keep(adv, valid, n)
		if !slices.Equal(kept, want.kept) || !slices.Equal(got, want.adv) {
			t.Errorf("keep %d: %v %v, want %v %v", n, kept, got, want.kept, want.adv)
		}
	}
}

// Of rewards with two values, as those of all-or-nothing scores, both are kept, and
// neither side outweighs the other.
func TestKeepHasBothSides(t *testing.T) {
	t.Parallel()
	for right := 1; right < 24; right++ {
		g := Group{Rewards: make([]float64, 24), Valid: slices.Repeat([]bool{true}, 24)}
		for i := range right {
			g.Rewards[i] = 1
		}
		adv, _ := Advantages([]Group{g}, GroupStd, 0)
		kept, centred := keep(adv[0], g.Valid, 12)
		n, sum := 0, 0.0
		for j, i := range kept {
			sum += centred[j]
			if g.Rewards[i] == 1 {
				n++
			}
		}
		const rounding = 1e-12
		if want := min(right, 6) + max(0, right-18); n != want || math.Abs(sum) > rounding {
			t.Errorf("%d right: %d of those kept are, want %d; their advantages sum to %g", right, n, want, sum)
		}
	}
}
