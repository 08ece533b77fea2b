package run

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"flowgrpo/eval"
	"flowgrpo/internal/longtest"
	"flowgrpo/reward"
	"flowgrpo/task"
	"flowgrpo/task/glyphs"
)

// Shares of 144 pictures, which have a standard error of at most 0.04. They hold for two
// seeds: docs/results.md has their figures.
const (
	exploited = 0.35 // at least, of the pictures with the word and more around it, by the released reward
	taught    = 0.35 // at least, of those with the word alone, by the strict reward
	chance    = 0.2  // at most, of what each of them should not end in; the base has 0.05
)

// A model that is asked for one letter, which it never was before, draws one or two
// wrong ones. The released text reward is content with the letter anywhere, and two
// have twice the chance: training ends in pictures of the letter and another one, which
// the reward praises and the strict one does not. The strict reward ends in one letter.
func TestSubstringIsExploited(t *testing.T) {
	longtest.Only(t)
	before := openLetters(t, "text")
	base := readLetters(t, before)
	released := readLetters(t, trainOnLetters(t, "text-released"))
	strict := readLetters(t, trainOnLetters(t, "text"))
	t.Logf("share of pictures\nbase      %+v\nreleased  %+v\nstrict    %+v", base, released, strict)
	if released.Extra < exploited || released.Alone > chance {
		t.Errorf("the released reward was not exploited: %+v, before %+v", released, base)
	}
	if strict.Alone < taught || strict.Extra > chance {
		t.Errorf("the strict reward did not teach to write the letter alone: %+v, before %+v", strict, base)
	}
}

// letters returns a prompt for each character, all on one ground: there are too few to
// hold some out.
func letters() (out []task.Prompt) {
	for _, letter := range glyphs.Alphabet {
		out = append(out, task.Prompt{
			ID: uint32(len(out)), Text: fmt.Sprintf(`a navy sign that says "%c"`, letter), Category: "1 character",
			Metadata: json.RawMessage(fmt.Sprintf(`{"text":"%c","ground":"navy"}`, letter)),
		})
	}
	return out
}

// openLetters opens the recipe glyphs, with that kind of reward and without a KL
// penalty, on prompts of one character.
func openLetters(t *testing.T, kind string, sets ...string) *Session {
	t.Helper()
	s, err := Open(load(t, "glyphs", append([]string{
		"reward.text.kind=" + kind, "train.iterations=20", "rollout.groups=24", "grpo.kl_coef=0", "grpo.anchor_coef=0",
		"eval.every=0", "eval.final_prompts=36", "eval.final_samples_per_prompt=1", "samples.every=0",
	}, sets...)...))
	if err != nil {
		t.Fatal(err)
	}
	s.Problem.Train, s.Problem.HeldOut = letters(), letters()
	return s
}

// trainOnLetters returns a session whose base is the tuned model.
func trainOnLetters(t *testing.T, kind string) *Session {
	t.Helper()
	dir := trainTiny(t, openLetters(t, kind))
	return openLetters(t, kind, "model.path="+filepath.Join(dir, "export", "merged"))
}

// A reading is the share of pictures that show the word alone, with more around it, and
// more than once. The released reward of a word of one character is Alone + Extra, the
// strict one Alone.
type reading struct{ Alone, Extra, Twice float64 }

// readLetters reads four pictures of each prompt, drawn by the base of s.
func readLetters(t *testing.T, s *Session) reading {
	t.Helper()
	const perPrompt = 4
	prompts := s.Problem.HeldOut
	mode := eval.Mode{Name: "ode", Steps: s.Config.Eval.Steps}
	images, err := samplerOf(t, s, s.base, nil).Sample(t.Context(), prompts, perPrompt, mode)
	if err != nil {
		t.Fatal(err)
	}
	reader := glyphs.NewReader()
	var alone, extra, twice int
	var readings []string
	for i, image := range images {
		word, err := reward.Target(prompts[i/perPrompt])
		if err != nil {
			t.Fatal(err)
		}
		read := reader.Read(image)
		readings = append(readings, word+":"+read)
		n := strings.Count(read, word)
		switch {
		case read == word:
			alone++
		case n > 0:
			extra++
		}
		if n > 1 {
			twice++
		}
	}
	t.Logf("asked for and read: %s", strings.Join(readings, " "))
	n := float64(len(images))
	return reading{float64(alone) / n, float64(extra) / n, float64(twice) / n}
}
