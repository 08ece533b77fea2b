package run

import "time"

// Progress is told how a run goes on. Its methods are called one at a time.
type Progress interface {
	// Begin announces a part of the run of n units, such as pictures or iterations.
	// Parts may be nested.
	Begin(part string, n int)
	// Advance says how many units of the innermost part are done, and the newest
	// figures in words.
	Advance(done int, note string)
	// End closes the innermost part.
	End()
	// Waiting says what the innermost part waits for and for how long so far, now and then;
	// at the end that it waits no more, with an empty string.
	Waiting(what string, d time.Duration)
	// Say passes on a line for people.
	Say(format string, args ...any)
}

// Silent is a Progress that says nothing.
type Silent struct{}

// Begin implements [Progress].
func (Silent) Begin(string, int) {}

// Advance implements [Progress].
func (Silent) Advance(int, string) {}

// End implements [Progress].
func (Silent) End() {}

// Waiting implements [Progress].
func (Silent) Waiting(string, time.Duration) {}

// Say implements [Progress].
func (Silent) Say(string, ...any) {}
