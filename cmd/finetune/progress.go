package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/vbauerster/cupwriter"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"flowgrpo/internal/display"
	"flowgrpo/internal/run"
)

// A progress shows how a command goes on. Close it before printing anything else.
type progress interface {
	run.Progress
	Close()
}

// newProgress returns the progress of a --progress flag on w.
func newProgress(kind string, w io.Writer) (progress, error) {
	switch kind {
	case "auto":
		if isTerminal(w) {
			return newBars(w), nil
		}
		return newPlain(w), nil
	case "bar":
		return newBars(w), nil
	case "plain":
		return newPlain(w), nil
	case "none":
		return quiet{}, nil
	}
	return nil, usage("--progress is %q, want auto, bar, plain or none", kind)
}

// isTerminal reports whether w is a terminal that understands cursor movements.
func isTerminal(w io.Writer) bool {
	return os.Getenv("TERM") != "dumb" && cupwriter.New(w, false).IsTerminal()
}

// quiet shows nothing.
type quiet struct{ run.Silent }

func (quiet) Close() {}

// plainEvery is the time between lines of a plain progress within a part.
const plainEvery = 5 * time.Second

// How long a part waits before that is said: on bars, which can take it back, and in a line.
const (
	barWait   = 2 * time.Second
	plainWait = 30 * time.Second
)

// plain writes lines: one when something is said, and one now and then about the
// innermost part.
type plain struct {
	w       io.Writer
	mu      sync.Mutex
	parts   []*plainPart
	waiting bool // and that was said
}

type plainPart struct {
	name  string
	n     int
	begun time.Time
	shown time.Time
}

func newPlain(w io.Writer) *plain { return &plain{w: w} }

// Begin implements [run.Progress].
func (p *plain) Begin(part string, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	p.parts = append(p.parts, &plainPart{part, n, now, now})
}

// Advance implements [run.Progress].
func (p *plain) Advance(done int, note string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	part := p.parts[len(p.parts)-1]
	if time.Since(part.shown) < plainEvery {
		return
	}
	part.shown = time.Now()
	if note != "" {
		note = "  " + note
	}
	fmt.Fprintf(p.w, "%s %d/%d  %s%s\n", part.name, done, part.n, time.Since(part.begun).Round(time.Second), note)
}

// End implements [run.Progress].
func (p *plain) End() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.parts = p.parts[:len(p.parts)-1]
}

// Waiting implements [run.Progress].
func (p *plain) Waiting(what string, d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if what != "" && d >= plainWait && !p.waiting {
		fmt.Fprintln(p.w, waitingFor(what, d))
		p.waiting = true
	}
	p.waiting = p.waiting && what != ""
}

func waitingFor(what string, d time.Duration) string {
	return fmt.Sprintf("waiting for %s, %s so far", what, d.Round(time.Second))
}

// Say implements [run.Progress].
func (p *plain) Say(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintln(p.w, display.Text(fmt.Sprintf(format, args...)))
}

// Close implements progress.
func (p *plain) Close() {}

// bars shows a bar per part.
type bars struct {
	box   *mpb.Progress
	mu    sync.Mutex
	parts []*barPart
}

type barPart struct {
	bar  *mpb.Bar
	mu   sync.Mutex
	note string
	wait string // in the place of the note
}

func (b *barPart) text(decor.Statistics) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return cmp.Or(b.wait, b.note)
}

func newBars(w io.Writer) *bars {
	return &bars{box: mpb.New(mpb.WithOutput(w), mpb.WithAutoRefresh(), mpb.WithWidth(30))}
}

// Begin implements [run.Progress].
func (b *bars) Begin(part string, n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := &barPart{}
	p.bar = b.box.AddBar(int64(n), mpb.BarRemoveOnComplete(),
		mpb.PrependDecorators(decor.Name(part+" ", decor.WCSyncSpaceR), decor.CountersNoUnit("%d/%d", decor.WCSyncSpace)),
		mpb.AppendDecorators(decor.Elapsed(decor.ET_STYLE_MMSS, decor.WCSyncSpace),
			decor.OnComplete(decor.AverageETA(decor.ET_STYLE_MMSS, decor.WCSyncSpace), ""), decor.Any(p.text, decor.WC{W: 2})))
	b.parts = append(b.parts, p)
}

// Advance implements [run.Progress].
func (b *bars) Advance(done int, note string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.parts[len(b.parts)-1]
	p.mu.Lock()
	if note != "" {
		p.note = "  " + note
	}
	p.mu.Unlock()
	p.bar.SetCurrent(int64(done))
}

// End implements [run.Progress].
func (b *bars) End() {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.parts[len(b.parts)-1]
	b.parts = b.parts[:len(b.parts)-1]
	p.bar.Abort(true) // no effect on a complete one
}

// Waiting implements [run.Progress].
func (b *bars) Waiting(what string, d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.parts) == 0 {
		return
	}
	p := b.parts[len(b.parts)-1]
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wait = ""
	if what != "" && d >= barWait {
		p.wait = "  " + waitingFor(what, d)
	}
}

// Say implements [run.Progress].
func (b *bars) Say(format string, args ...any) {
	fmt.Fprintln(b.box, display.Text(fmt.Sprintf(format, args...)))
}

// Close implements progress.
func (b *bars) Close() { b.box.Wait() }
