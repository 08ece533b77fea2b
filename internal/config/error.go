package config

import (
	"fmt"
	"strings"

	"flowgrpo/internal/display"
)

// An Error is what is wrong with a recipe: one mistake or, where there are several, the first
// of them.
type Error struct {
	// File is the recipe's path; or the --set argument that is to blame, as "--set k=v".
	File string
	// Line and Col count from 1, Col in characters; 0 if there is no position.
	Line, Col int
	// Message says what was found and what was expected.
	Message string

	below string // the line and a caret, or the other mistakes; may be empty
}

// Error returns "file:line:col: message", followed by the line and a caret. Of several
// mistakes it returns a line for each, [maxErrors] at most.
func (e *Error) Error() string { return e.headline() + e.below }

func (e *Error) headline() string {
	where := e.File
	if e.Line > 0 {
		where = fmt.Sprintf("%s:%d:%d", e.File, e.Line, e.Col)
	}
	return where + ": " + e.Message
}

// maxErrors bounds the mistakes of a recipe that are shown at once.
const maxErrors = 20

// problem is an error on its way: what is wrong with which key.
type problem struct {
	keys    []string // dotted paths, of which the first that is set is to blame
	atKey   bool     // point at the key instead of at its value
	again   *span    // of a key that is set twice: where it is set again; keys do not matter
	message string
}

// at makes the error for a position, given as a byte offset in text.
func at(file, text string, offset int, message string) *Error {
	offset = min(max(offset, 0), len(text))
	begin := strings.LastIndexByte(text[:offset], '\n') + 1
	line, _, _ := strings.Cut(text[begin:], "\n")
	e := &Error{
		File: file, Message: message,
		Line: strings.Count(text[:begin], "\n") + 1,
		Col:  len([]rune(text[begin:offset])) + 1,
	}
	e.below = excerpt(strings.TrimRight(line, "\r"), e.Line, e.Col)
	return e
}

// excerpt shows a line with a caret below column col, cut to a window around it.
func excerpt(line string, number, col int) string {
	const before, after = 60, 60
	runes := []rune(line)
	lo, hi := max(0, col-1-before), min(len(runes), col-1+after)
	if lo > hi {
		return ""
	}
	window := strings.Map(printable, string(runes[lo:hi]))
	if strings.TrimSpace(window) == "" {
		return ""
	}
	return fmt.Sprintf("\n%5d | %s\n      | %s^", number, window, strings.Repeat(" ", col-1-lo))
}

// printable replaces what would move the caret or the terminal's cursor.
func printable(r rune) rune {
	if r == '\t' {
		return ' '
	}
	if !display.Shows(r) {
		return '?'
	}
	return r
}

// setError makes the error for a --set argument.
func setError(set, message string) *Error {
	return &Error{File: "--set " + strings.Map(printable, clip(strings.ToValidUTF8(set, "?"))), Message: message}
}

// clip shortens what was found for a message.
func clip(s string) string {
	return clipTo(s, 60)
}

// clipTo shortens s to a number of characters.
func clipTo(s string, limit int) string {
	if r := []rune(s); len(r) > limit {
		s = string(r[:limit]) + "…"
	}
	return s
}
