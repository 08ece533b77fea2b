package main

import (
	"io"
	"text/tabwriter"

	"flowgrpo/internal/display"
)

// newTable returns a table that is printed to w when flushed: cells end with tabs, rows with
// newlines. What cells hold may be of unknown origin.
func newTable(w io.Writer) *tabwriter.Writer {
	return tabwriter.NewWriter(display.Writer(w), 0, 0, 2, ' ', 0)
}
