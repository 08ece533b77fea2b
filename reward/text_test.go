package reward

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"flowgrpo/task"
)

// A page is a Reader that finds always the same text.
type page string

func (p page) Read(task.Image) string { return string(p) }

// grey returns a small valid picture.
func grey() task.Image { return task.Image{C: 3, H: 2, W: 2, Pix: make([]float32, 12)} }

// scoreOne scores one sample and returns its result.
func scoreOne(t testing.TB, r Reward, p task.Prompt) Result {
	t.Helper()
	got, err := r.Score(t.Context(), []Sample{{Prompt: p, Image: grey()}})
	if err != nil {
		t.Fatal(err)
	}
	return got[0]
}

func TestTextRewards(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		target, read     string
		strict, released float64
		reason           string
	}{
		{"K7QX", "K7QX", 1, 1, "exact"},
		{"K7QX", "k7 qx", 1, 1, "case and spaces do not count"},
		{"K7QX", "K7OX", .75, .75, "one wrong of four"},
		{"K7QX", "", 0, 0, "nothing read"},
		{"K7QX", "K7QXK7QX", 0, 1, "spam: four edits too many, free in the released form"},
		{"K7QX", "K7QXA", .75, 1, "one character too many"},
		{"K7QX", "abK7QX", .5, 1, "two characters in front"},
		{"K7QX", "zzzzzzzzzzzz", 0, 0, "the distance is capped at the length"},
		{"K7QX", "K7Q", .75, .75, "one missing"},
		{"K 7", "k\t7\n", 1, 1, "any white space, on both sides"},
		{"Ä", "ä", 1, 1, "letters outside ASCII"},
	} {
		p := task.Prompt{Text: `a sign that says "` + c.target + `"`}
		for _, r := range []struct {
			reward Reward
			want   float64
		}{{NewTextMatch("strict", page(c.read)), c.strict}, {NewTextReleased("released", page(c.read)), c.released}} {
			got := scoreOne(t, r.reward, p)
			if got.Err != nil || got.Score != r.want {
				t.Errorf("%s: target %q, read %q: score %v (%v), want %v: %s",
					r.reward.Name(), c.target, c.read, got.Score, got.Err, r.want, c.reason)
			}
			if exact := got.Parts["exact"] == 1; exact != (r.want == 1) {
				t.Errorf("%s: target %q, read %q: part exact = %v", r.reward.Name(), c.target, c.read, exact)
			}
		}
	}
}

// Whatever is written around the word is free in the released form, and costs its
// length in the strict one.
func TestSubstringLoophole(t *testing.T) {
	t.Parallel()
	const word = "K7QX"
	p := task.Prompt{Text: `a sign that says "` + word + `"`}
	for around := range 10 {
		for before := range around + 1 {
			read := page(strings.Repeat("Z", before) + word + strings.Repeat("Z", around-before))
			strict, released := scoreOne(t, NewTextMatch("s", read), p), scoreOne(t, NewTextReleased("r", read), p)
			if want := max(0, 1-float64(around)/float64(len(word))); strict.Score != want || released.Score != 1 {
				t.Errorf("%q read: strict %v, released %v, want %v, 1", read, strict.Score, released.Score, want)
			}
		}
	}
}

func TestTarget(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text, metadata, want string
		ok                   bool
		reason               string
	}{
		{`a sign "AB"`, ``, "AB", true, "between the quotes"},
		{`"A" and "B"`, ``, "A", true, "the first pair only"},
		{`"A" and "B"`, `{"text":"C"}`, "C", true, "metadata goes first"},
		{`no quotes`, `{"text":"C","style":1}`, "C", true, "metadata is enough, other keys do not matter"},
		{`say "AB"`, `{"style":1}`, "AB", true, "metadata without text"},
		{`say "AB"`, `null`, "AB", true, "null metadata is no metadata"},
		{`say "AB"`, `{"TEXT":"C"}`, "AB", true, "keys are exact"},
		{`no quotes`, ``, "", false, "no target"},
		{`one "quote`, ``, "", false, "an open quote is no target"},
		{`say ""`, ``, "", false, "empty: would divide by zero"},
		{`say "  "`, ``, "", false, "blank is empty"},
		{`say "AB"`, `{"text":""}`, "", false, "an empty target is an error, not a reason to look elsewhere"},
		{`say "AB"`, `{"text":null}`, "", false, "null is not a string"},
		{`say "AB"`, `{"text":7}`, "", false, "a number is not a string"},
		{`say "AB"`, `["text"]`, "", false, "not an object"},
		{`say "AB"`, `{"text":`, "", false, "not JSON"},
	} {
		got, err := Target(task.Prompt{Text: c.text, Metadata: json.RawMessage(c.metadata)})
		if got != c.want || (err == nil) != c.ok {
			t.Errorf("Target(%s, %s) = %q, %v, want %q, ok=%v: %s", c.text, c.metadata, got, err, c.want, c.ok, c.reason)
		}
		if f := (*Failure)(nil); err != nil && (!errors.As(err, &f) || f.Reason != BadPrompt) {
			t.Errorf("Target(%s, %s): error %v is no BadPrompt failure", c.text, c.metadata, err)
		}
	}
}

func TestTextFailureSaysWhichSample(t *testing.T) {
	t.Parallel()
	got := scoreOne(t, NewTextMatch("ocr", page("")), task.Prompt{ID: 17, Text: "nothing"})
	want := `reward "ocr", sample 0 (prompt 17): bad prompt: no text in double quotes in "nothing"`
	if got.Err == nil || !strings.HasPrefix(got.Err.Error(), want) {
		t.Errorf("error %v, want %s…", got.Err, want)
	}
}

func FuzzTarget(f *testing.F) {
	f.Add(`a "B"`, []byte(`{"text":"x"}`), "b")
	f.Add(``, []byte(`[[[[`), "\xff")
	f.Fuzz(func(t *testing.T, text string, metadata []byte, read string) {
		p := task.Prompt{Text: text, Metadata: metadata}
		strict := scoreOne(t, NewTextMatch("s", page(read)), p)
		released := scoreOne(t, NewTextReleased("r", page(read)), p)
		if (strict.Err == nil) != (released.Err == nil) {
			t.Fatalf("one form fails, the other does not: %v, %v", strict.Err, released.Err)
		}
		if !(0 <= strict.Score && strict.Score <= released.Score && released.Score <= 1) {
			t.Fatalf("want 0 ≤ strict (%v) ≤ released (%v) ≤ 1", strict.Score, released.Score)
		}
	})
}
