package run

import (
	"errors"
	"io/fs"
)

// An InputError is a file that is there and is not what it should be: damaged, of another
// format, or with values that make no sense. The error names it.
type InputError struct{ Err error }

func (e *InputError) Error() string { return e.Err.Error() }

// Unwrap returns the reason.
func (e *InputError) Unwrap() error { return e.Err }

// input marks err, of reading what a recipe or an argument names. That there is no such
// file is no fault of the file, and stays as it is.
func input(err error) error {
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return &InputError{err}
}

// A ResumeError is why a run cannot go on.
type ResumeError struct{ Err error }

func (e *ResumeError) Error() string { return e.Err.Error() }

// Unwrap returns the reason.
func (e *ResumeError) Unwrap() error { return e.Err }
