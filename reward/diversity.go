package reward

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/sourcegraph/conc/iter"

	"flowgrpo/task"
)

func init() {
	Register(KindDoc{Kind: "diversity", Summary: "How far the picture is from the others of its group: keeps them from becoming one."},
		func(name string, _ *Params, _ Deps) (Reward, error) { return NewDiversity(name), nil })
}

// Diversity rewards pictures that differ from the others of their group:
//
//	r = mean over the others j of  √(mean over k of (f_k - f_jk)²)     in [0, 1]
//
// with f the means of red, green and blue, in [0, 1], over the 8×8 cells of a grid.
// The means see colours and layout, and not what noise and shifts by a pixel do to
// single pixels, which would otherwise be the cheapest way to differ. Weights and
// network there are none, so that the diversity of evaluations, of other features,
// stays a figure that no reward sees.
//
// It is groupwise: a sample's score depends on its group. A sample without another
// one to be compared with fails; a broken picture fails and does not count for the
// others.
type Diversity struct{ label }

// NewDiversity returns a Diversity.
func NewDiversity(name string) Diversity {
	return Diversity{label{name, Info{Groupwise: true, Deterministic: true, Max: 1}}}
}

// Score implements [Reward].
func (d Diversity) Score(ctx context.Context, batch []Sample) ([]Result, error) {
	features := make([][]float64, len(batch)) // nil for a broken picture
	iter.ForEachIdx(batch, func(i int, s *Sample) {
		if ctx.Err() == nil && CheckImage(s.Image) == nil {
			features[i] = cellMeans(s.Image)
		}
	})
	if err := context.Cause(ctx); err != nil {
		return nil, fmt.Errorf("reward %q: %w", d.name, err)
	}
	results := make([]Result, len(batch))
	for i, s := range batch {
		results[i] = one(d.name, i, s, func(Sample) (float64, map[string]float64, error) {
			return meanDistance(batch, features, i)
		})
	}
	return results, nil
}

// meanDistance returns the mean distance of sample i to the others of its group.
func meanDistance(batch []Sample, features [][]float64, i int) (float64, map[string]float64, error) {
	var distances []float64
	for j, s := range batch {
		if j != i && s.Group == batch[i].Group && features[j] != nil {
			distances = append(distances, rmsDistance(features[i], features[j]))
		}
	}
	if len(distances) == 0 {
		return 0, nil, fail(Refused, "no other picture in its group to compare with")
	}
	slices.Sort(distances) // the sum is the same for any order of the group
	mean, _ := moments(distances)
	return mean, nil, nil
}

func rmsDistance(a, b []float64) float64 {
	var sum float64
	for k, v := range a {
		sum += float64((v - b[k]) * (v - b[k]))
	}
	return math.Sqrt(sum / float64(len(a)))
}

// cellMeans returns the means of each colour over the cells of an 8×8 grid, in
// [0, 1]. In a picture with a side below 8, cells share pixels.
func cellMeans(im task.Image) []float64 {
	const grid = 8
	var out []float64
	for c := range 3 {
		for row := range grid {
			for column := range grid {
				y0, y1 := cell(row, grid, im.H)
				x0, x1 := cell(column, grid, im.W)
				var sum float64
				for y := y0; y < y1; y++ {
					for x := x0; x < x1; x++ {
						sum += unit(float64(im.At(min(c, im.C-1), x, y)))
					}
				}
				out = append(out, sum/float64((y1-y0)*(x1-x0)))
			}
		}
	}
	return out
}

// cell returns the pixels [from, to) of cell i of n along a side.
func cell(i, n, side int) (from, to int) {
	from = i * side / n
	return from, max((i+1)*side/n, from+1)
}
