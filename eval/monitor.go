package eval

import (
	"fmt"
	"slices"
)

// A Warning says by name what looks wrong, since which iteration, and in words
// what was seen and what to do.
type Warning struct {
	Name      string `json:"name"` // such as "judge-falls"; the constants below
	Iteration int    `json:"iteration"`
	Message   string `json:"message"`
}

// The names of warnings.
const (
	JudgeFalls     = "judge-falls"     // reward up, judge down
	JudgeLags      = "judge-lags"      // reward up, judge up by much less
	FrechetRises   = "frechet-rises"   // reward up, pictures less real
	DiversityFalls = "diversity-falls" // reward up, samples of a prompt more alike
	PastBest       = "past-best"       // the held-out reward itself has fallen
)

// A Point is what the monitor knows of one evaluation.
type Point struct {
	Iteration                         int
	Reward, Judge, Frechet, Diversity Number // held-out, one mode throughout
}

// NewPoint takes the headline mode of an evaluation.
func NewPoint(e Evaluation) Point { return NewOutcome(e).point() }

func (o Outcome) point() Point {
	return Point{o.Iteration, o.Reward, o.Judge, o.Frechet, o.Diversity}
}

// Limits say how much is too much; all are shares, so that they fit rewards of
// any unit.
type Limits struct {
	Rise      float64 `json:"rise"`       // the reward has risen: by more than this share of its base value
	JudgeFall float64 `json:"judge_fall"` // tolerated fall of the judge, as a share of its highest value so far
	JudgeLag  float64 `json:"judge_lag"`  // tolerated share of the reward's gain that the judge does not see (at least Rise of the base)
	Frechet   float64 `json:"frechet"`    // tolerated Fréchet distance, in multiples of the base's
	Diversity float64 `json:"diversity"`  // tolerated diversity, in multiples of the base's
	Fall      float64 `json:"fall"`       // tolerated fall of the reward from its best, as a share of it
}

// DefaultLimits are the thresholds that the project's own results are held to.
func DefaultLimits() Limits {
	return Limits{Rise: 0.05, JudgeFall: 0.02, JudgeLag: 0.25, Frechet: 1.1, Diversity: 0.9, Fall: 0.05}
}

// Watch is the monitor of reward hacking. It compares the last point with the
// first (the base) and with the best in between, and returns a warning for each
// limit that is passed; none if all is well or history has fewer than two points.
//
// Hacking is a reward that rises while what it stands for gets worse. So every
// warning but PastBest needs a held-out reward above the base; quantities that
// were not measured cannot warn.
func Watch(history []Point, l Limits) []Warning {
	if len(history) < 2 {
		return nil
	}
	base, last := history[0], history[len(history)-1]
	var ws []Warning
	warn := func(name, format string, args ...any) {
		ws = append(ws, Warning{name, last.Iteration, fmt.Sprintf(format, args...)})
	}
	if best := highest(history, func(p Point) Number { return p.Reward }); below(last.Reward, best.Reward, l.Fall) {
		warn(PastBest, "The held-out reward is %.3g, after %.3g at iteration %d. Keep the earlier weights; "+
			"a lower learning rate or a KL penalty would hold the level.", last.Reward, best.Reward, best.Iteration)
	}
	if !rose(base, last, l) {
		return ws
	}
	watchJudge(history, l, warn)
	if last.Frechet > Number(l.Frechet)*base.Frechet {
		warn(FrechetRises, "The reward rose from %.3g to %.3g, but the Fréchet distance to real pictures went from "+
			"%.3g to %.3g. Pictures are getting less real: raise the KL weight.",
			base.Reward, last.Reward, base.Frechet, last.Frechet)
	}
	if last.Diversity < Number(l.Diversity)*base.Diversity {
		warn(DiversityFalls, "The reward rose from %.3g to %.3g, but diversity within prompts fell from %.3g to %.3g. "+
			"Samples of one prompt are getting alike: raise the KL weight.",
			base.Reward, last.Reward, base.Diversity, last.Diversity)
	}
	return ws
}

// WatchFull returns the warnings of a run's end, one per name: those of the full protocol
// between base and tuned, which has more samples than the course and may have figures that
// the course lacks, and those of the course that the full protocol does not repeat.
func WatchFull(course []Warning, base, tuned Outcome, l Limits) []Warning {
	ws := Watch([]Point{base.point(), tuned.point()}, l)
	for _, w := range course {
		if !slices.ContainsFunc(ws, func(of Warning) bool { return of.Name == w.Name }) {
			ws = append(ws, w)
		}
	}
	return ws
}

// rose reports whether the reward has risen from the base to p by so much that all else is
// held to its limits.
func rose(base, p Point, l Limits) bool {
	return float64(p.Reward-base.Reward) > l.Rise*abs(base.Reward)
}

// watchJudge holds the judge's course against the reward's.
func watchJudge(history []Point, l Limits, warn func(name, format string, args ...any)) {
	base, last := history[0], history[len(history)-1]
	gain, seen := last.Reward-base.Reward, last.Judge-base.Judge
	peak := highest(history, func(p Point) Number { return p.Judge })
	switch {
	case below(last.Judge, peak.Judge, l.JudgeFall) && last.Reward >= peak.Reward:
		warn(JudgeFalls, "Since iteration %d the reward went from %.3g to %.3g while the independent judge fell from "+
			"%.3g to %.3g. The model is learning the reward's mistakes.",
			peak.Iteration, peak.Reward, last.Reward, peak.Judge, last.Judge)
	case float64(gain-seen) > max(l.JudgeLag*float64(gain), l.Rise*abs(base.Reward)):
		warn(JudgeLags, "The reward rose by %.3g, the independent judge by only %.3g. Part of the gain may be the "+
			"reward's mistakes.", gain, seen)
	}
}

// highest returns the first point with the highest known value.
func highest(history []Point, value func(Point) Number) Point {
	best := history[0]
	for _, p := range history {
		if v := value(p); v > value(best) || !value(best).Known() {
			best = p
		}
	}
	return best
}

// below reports whether v is less than top by more than the given share of |top|.
func below(v, top Number, share float64) bool {
	return float64(top-v) > share*abs(top)
}

func abs(n Number) float64 {
	return float64(max(n, -n))
}
