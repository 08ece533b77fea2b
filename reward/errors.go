package reward

import "fmt"

// A Reason says in a word or two why a sample has no score. Reports count
// failures by it.
type Reason string

// The reasons.
const (
	BadPrompt    Reason = "bad prompt"             // text or metadata that the reward cannot judge by
	BadImage     Reason = "bad picture"            // wrong length, NaN or infinite pixels
	BadDetection Reason = "bad detection"          // a box or confidence that is not a finite number
	Refused      Reason = "refused"                // the reward's own error
	BadScore     Reason = "bad score"              // NaN, infinite or beyond MaxScore
	BadLength    Reason = "wrong number of scores" // not one result per sample
	Panicked     Reason = "panic"                  // Err is a *PanicError
	PartFailed   Reason = "part failed"            // a term of a weighted sum could not be scored
	Unavailable  Reason = "unavailable"            // a service or process that cannot be reached, or died
	TimedOut     Reason = "timed out"              // no answer within the deadline
	BadReply     Reason = "bad reply"              // an answer that the protocol does not allow
	Dropped      Reason = "dropped with its group" // by DropGroup, after another sample's failure
)

// A Failure is why one sample could not be scored. It is not a score: a failed
// sample leaves its group's statistics. Every Result.Err that comes out of a
// built-in reward or of [Checked] is a *Failure.
type Failure struct {
	Reward string // Name of the reward
	Sample int    // index in the batch
	Prompt uint32 // ID of the sample's prompt
	Reason Reason
	Err    error // the details
}

// Error implements error. That of a sum is what its terms say.
func (f *Failure) Error() string {
	if f.Reason == PartFailed && Causes(f.Err) != nil {
		return f.Err.Error()
	}
	return fmt.Sprintf("reward %q, sample %d (prompt %d): %s: %v", f.Reward, f.Sample, f.Prompt, f.Reason, f.Err)
}

// Unwrap returns the details.
func (f *Failure) Unwrap() error { return f.Err }

// Causes returns the failures behind a Result's Err: of a sum, those of the terms that
// failed. There is one at least behind a *Failure.
func Causes(err error) []*Failure {
	switch e := err.(type) {
	case *Failure:
		if causes := Causes(e.Err); e.Reason == PartFailed && causes != nil {
			return causes
		}
		return []*Failure{e}
	case interface{ Unwrap() []error }:
		var causes []*Failure
		for _, inner := range e.Unwrap() {
			causes = append(causes, Causes(inner)...)
		}
		return causes
	}
	return nil
}

// A LackError is that a reward needs what its task does not have.
type LackError struct{ What string }

// Error implements error.
func (e *LackError) Error() string { return e.What + ", which this task does not have" }

// A PanicError is a recovered panic.
type PanicError struct {
	Value any
	Stack []byte // of the goroutine that panicked
}

// Error implements error; it leaves the stack out.
func (p *PanicError) Error() string { return fmt.Sprint(p.Value) }

// fail returns a Failure that still lacks its address, which Each fills in.
func fail(reason Reason, format string, args ...any) error {
	return &Failure{Reason: reason, Err: fmt.Errorf(format, args...)}
}
