package eval

import (
	"bytes"
	"fmt"
	"html/template"
	"image/png"
	"math"
)

// How much the page shows: pictures are small, but pages should stay below a few
// megabytes.
const (
	maxPairs  = 12 // prompts before and after
	maxEach   = 4  // samples of each
	maxStrips = 8  // prompts over the course of training
	maxFrames = 7  // iterations of each
)

// picture is one sample as the page shows it.
type picture struct {
	URI    template.URL
	Alt    string
	Score  string
	Class  string // "full", "part" or "none": the reward, for rewards in [0, 1]
	Number int    // iteration
}

// pair is one prompt before and after, on the same noise.
type pair struct {
	Text        string
	Class       string // "wide" pictures stand below each other, a "single" one alone
	Base, Tuned []picture
}

// strip is one prompt and one noise over the course of training.
type strip struct {
	Text   string
	Frames []picture
}

// slot names a sample across iterations.
type slot struct {
	prompt uint32
	sample int
}

func slots(set SampleSet) map[slot]Sample {
	m := make(map[slot]Sample, len(set.Samples))
	for _, s := range set.Samples {
		m[slot{s.Prompt, s.Sample}] = s
	}
	return m
}

func newPicture(s Sample, iteration int) picture {
	p := picture{URI: dataURI(s.PNG), Alt: s.Text, Score: fmt.Sprintf("%.2f", s.Reward), Number: iteration}
	switch {
	case !s.Reward.Known():
		p.Score = "not scored"
	case s.Reward >= 0.999:
		p.Class = "full"
	case s.Reward > 0:
		p.Class = "part"
	default:
		p.Class = "none"
	}
	return p
}

// pairs sets the first folder of pictures against the last.
func pairs(sets []SampleSet) []pair {
	if len(sets) < 2 {
		return nil
	}
	first, last := sets[0], sets[len(sets)-1]
	before := slots(first)
	var out []pair
	at := map[uint32]int{}
	for _, s := range last.Samples {
		b, ok := before[slot{s.Prompt, s.Sample}]
		if !ok {
			continue
		}
		i, seen := at[s.Prompt]
		if !seen {
			if len(out) == maxPairs {
				continue
			}
			i = len(out)
			at[s.Prompt] = i
			out = append(out, pair{Text: s.Text})
		}
		if len(out[i].Base) < maxEach {
			out[i].Base = append(out[i].Base, newPicture(b, first.Iteration))
			out[i].Tuned = append(out[i].Tuned, newPicture(s, last.Iteration))
			out[i].Class = layout(s.PNG, len(out[i].Base))
		}
	}
	return out
}

// layout chooses how n pictures like this one are set side by side.
func layout(file []byte, n int) string {
	size, err := png.DecodeConfig(bytes.NewReader(file))
	switch {
	case err == nil && size.Width >= 2*size.Height:
		return "wide"
	case n == 1:
		return "single"
	}
	return ""
}

// strips follows the first sample of the first prompts through training.
func strips(sets []SampleSet) []strip {
	if len(sets) < 3 {
		return nil
	}
	chosen := spreadOut(len(sets), maxFrames)
	var out []strip
	seen := map[uint32]bool{}
	for _, s := range sets[len(sets)-1].Samples {
		if seen[s.Prompt] || len(out) == maxStrips {
			continue
		}
		seen[s.Prompt] = true
		st := strip{Text: s.Text}
		for _, i := range chosen {
			if frame, ok := slots(sets[i])[slot{s.Prompt, s.Sample}]; ok {
				st.Frames = append(st.Frames, newPicture(frame, sets[i].Iteration))
			}
		}
		out = append(out, st)
	}
	return out
}

// spreadOut returns at most k indices in [0, n), evenly spread, with both ends.
func spreadOut(n, k int) []int {
	if n <= k {
		return wholeRange(n)
	}
	out := make([]int, k)
	for i := range out {
		out[i] = int(math.Round(float64(i*(n-1)) / float64(k-1)))
	}
	return out
}
