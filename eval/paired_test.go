package eval

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

// pairedCourse is a run whose pictures after training have rewards.
func pairedCourse(rewards []float64, perPrompt int) Course {
	m := Measurement{Mode: ODE40}
	for i, r := range rewards {
		m.Rows = append(m.Rows, Row{Prompt: uint32(i / perPrompt), Text: "a sign", Sample: i % perPrompt, Reward: Number(r), Judge: NaN()})
	}
	return Course{After: &m}
}

// shifted returns rewards, picture by picture, that are above the difficulties of their
// prompts by gain, with a spread.
func shifted(r *rand.Rand, difficulty []float64, perPrompt int, gain, spread float64) []float64 {
	var out []float64
	for _, d := range difficulty {
		for range perPrompt {
			out = append(out, d+gain+spread*r.NormFloat64())
		}
	}
	return out
}

// TestComparePaired holds the paired difference of two arms of two seeds against the interval
// of the normal law for the differences of prompts, which are independent.
func TestComparePaired(t *testing.T) {
	const prompts, perPrompt, gain = 200, 2, 0.02
	const tolerance = 0.15 // of a width: that of 1000 resamples has a spread of 3 %, the law is not quite normal
	r := rand.New(rand.NewPCG(1, 2))
	difficulty := make([]float64, prompts)
	for i := range difficulty {
		difficulty[i] = r.Float64()
	}
	var arms []Arm
	sums := make([][]float64, 2)
	for i, label := range []string{"a", "b"} {
		sums[i] = make([]float64, prompts)
		arm := Arm{Label: label}
		for range 2 {
			rewards := shifted(r, difficulty, perPrompt, gain*float64(i), 0.05)
			for k, v := range rewards {
				sums[i][k/perPrompt] += v / (2 * perPrompt)
			}
			arm.Runs = append(arm.Runs, pairedCourse(rewards, perPrompt))
		}
		arms = append(arms, arm)
	}
	mean, width := 0.0, 0.0
	for k := range prompts {
		mean += (sums[1][k] - sums[0][k]) / prompts
	}
	for k := range prompts {
		width += math.Pow(sums[1][k]-sums[0][k]-mean, 2)
	}
	width = 2 * 1.96 * math.Sqrt(width/prompts/(prompts-1))

	c := Compare(arms)
	g := c.Arms[1].Paired["reward"]
	if math.Abs(float64(g.Mean)-mean) > 1e-12 || g.Samples != prompts*perPrompt {
		t.Errorf("difference %v of %d pictures, want %v of %d", g.Mean, g.Samples, mean, prompts*perPrompt)
	}
	if got := float64(g.Interval[1] - g.Interval[0]); math.Abs(got-width) > tolerance*width || !(g.Interval[0] < g.Mean && g.Mean < g.Interval[1]) {
		t.Errorf("interval %v around %v with a width of %v, want %v", g.Interval, mean, got, width)
	}
	if _, ok := c.Arms[1].Paired["judge"]; ok || c.Arms[0].Paired != nil {
		t.Errorf("paired %v with itself, and judges that were not measured %v", c.Arms[0].Paired, c.Arms[1].Paired)
	}
}

// TestCompareUnpaired: pictures of other prompts, samples or samplers are not paired, and the
// table says so.
func TestCompareUnpaired(t *testing.T) {
	rewards := []float64{1, 2, 3, 4}
	for name, change := range map[string]func(m *Measurement){
		"another prompt": func(m *Measurement) { m.Rows[2].Prompt++ },
		"another text":   func(m *Measurement) { m.Rows[1].Text = "a shape" },
		"another sample": func(m *Measurement) { m.Rows[1].Sample++ },
		"another reward": func(m *Measurement) { m.Rows[1].Rewards = map[string]Number{"brightness": 1} },
		"fewer":          func(m *Measurement) { m.Rows = m.Rows[:2] },
		"none":           func(m *Measurement) { m.Rows = nil },
		"another mode":   func(m *Measurement) { m.Mode.Steps++ },
		"nothing":        nil,
	} {
		first, other, seed := pairedCourse(rewards, 2), pairedCourse(rewards, 2), pairedCourse(rewards, 2)
		if change != nil {
			change(other.After)
		}
		for _, arms := range [][]Arm{
			{{"a", []Course{first}}, {"b", []Course{other}}},
			{{"a", []Course{first}}, {"b", []Course{seed, other}}},
			{{"a", []Course{other, seed}}, {"b", []Course{first}}},
		} {
			c := Compare(arms)
			text := c.Markdown()
			if got, want := c.Arms[1].Paired != nil, change == nil; got != want || strings.Contains(text, "not paired") == want {
				t.Errorf("%s: that it is paired is %v:\n%s", name, got, text)
			}
		}
	}
	if c := Compare([]Arm{{"a", []Course{{}}}, {"b", []Course{pairedCourse(rewards, 2)}}}); c.Arms[1].Paired != nil {
		t.Error("paired with an arm that was not measured")
	}
}
