package main

import (
	"bytes"
	"io"
	"testing"
	"time"

	"github.com/vbauerster/mpb/v8/decor"
)

// A plain progress says once what it waits for, when that takes long, and again the next
// time.
func TestPlainSaysWhatItWaitsFor(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	p := newPlain(&out)
	for range 2 {
		for _, d := range []time.Duration{time.Second, 29 * time.Second, 31 * time.Second, time.Hour} {
			p.Waiting("reward judge", d)
		}
		p.Waiting("", 0)
	}
	p.Waiting("reward quick", time.Second)
	const line = "waiting for reward judge, 31s so far\n"
	if out.String() != line+line {
		t.Errorf("said %q, want %q twice", out.String(), line)
	}
}

// A bar says so sooner, in the place of its note, and takes it back.
func TestBarSaysWhatItWaitsFor(t *testing.T) {
	t.Parallel()
	b := newBars(io.Discard)
	b.Waiting("reward judge", time.Minute) // no bar: nothing to say it on
	b.Begin("training", 3)
	b.Advance(1, "reward 0.5")
	for _, c := range []struct {
		what string
		d    time.Duration
		want string
	}{
		{"reward judge", time.Second, "  reward 0.5"},
		{"reward judge", 3 * time.Second, "  waiting for reward judge, 3s so far"},
		{"reward judge", 90 * time.Second, "  waiting for reward judge, 1m30s so far"},
		{"", 0, "  reward 0.5"},
	} {
		b.Waiting(c.what, c.d)
		if got := b.parts[0].text(decor.Statistics{}); got != c.want {
			t.Errorf("waiting for %q for %v, the bar says %q, want %q", c.what, c.d, got, c.want)
		}
	}
	b.End()
	b.Close()
}
