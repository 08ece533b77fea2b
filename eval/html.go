package eval

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"io"
)

//go:embed report.html
var pageText string

//go:embed report.css
var pageCSS string

var page = template.Must(template.New("report").Parse(pageText))

// WriteHTML writes the report as one page that needs no other file, no network and
// no script; its content security policy forbids them. All text of the run is
// escaped. The page follows the reader's light or dark mode and fits a phone.
func WriteHTML(w io.Writer, r Report) error {
	var b bytes.Buffer // whole or not at all
	if err := page.Execute(&b, newView(r)); err != nil {
		return fmt.Errorf("eval: writing the report: %w", err)
	}
	_, err := w.Write(b.Bytes())
	return err
}
