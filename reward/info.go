package reward

import "io"

// Info is what a reward says of itself. The zero value promises nothing: a reward
// of single samples, of unknown range, that may answer anew each time it is asked.
type Info struct {
	// Name is what the reward calls itself, whatever a recipe calls it; empty if nothing.
	Name string
	// Version of the reward, for the record of a run.
	Version string
	// Groupwise rewards judge a sample beside the others of its Group: a rank, a rate
	// of wins, diversity. Groups are whole in every call, and may be the only way that
	// scores make sense; single samples of a group are never scored again.
	Groupwise bool
	// Evaluation rewards are too slow or too precious for training: evaluations alone
	// ask them.
	Evaluation bool
	// Deterministic rewards give the same results for the same samples (groups, if
	// Groupwise) whenever they are asked, so that an answer can be kept.
	Deterministic bool
	// MaxBatch is the largest number of samples in a call; 0 is any.
	MaxBatch int
	// Min and Max bound every score; both are 0 where nothing is promised.
	Min, Max float64
}

// A Described reward says more of itself than its name.
type Described interface {
	Reward
	// Info returns the same value each time.
	Info() Info
}

// A Wrapper passes on what the reward that it wraps says of itself, and its end. Types that
// change how a reward scores embed it.
type Wrapper struct{ Reward }

// Info implements [Described].
func (w Wrapper) Info() Info { return InfoOf(w.Reward) }

// Close implements io.Closer.
func (w Wrapper) Close() error { return Close(w.Reward) }

// InfoOf returns what r says of itself, the zero Info if it says nothing.
func InfoOf(r Reward) Info {
	if d, ok := r.(Described); ok {
		return d.Info()
	}
	return Info{}
}

// Close ends what r holds, such as a process, if it is an io.Closer. r is not to be
// used any more.
func Close(r Reward) error {
	if c, ok := r.(io.Closer); ok {
		return c.Close()
	}
	return nil
}
