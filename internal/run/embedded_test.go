package run

import (
	"testing"

	"flowgrpo/eval"
	"flowgrpo/internal/base"
	"flowgrpo/policy"
)

// What an embedded model scores with a few pictures at few steps is less exact than the
// headline of docs/results.md, 0.55 to 0.68 at 40 steps: 64 pictures have a standard error of
// about 0.06 in shapes, and 10 steps cost a few hundredths.
const (
	embeddedAtLeast = 0.4
	embeddedAtMost  = 0.8
)

// Every world has an embedded model that fits it: it knows every word, has room for every
// prompt, and draws what it is asked about as often as the base models are said to.
func TestEmbeddedModels(t *testing.T) {
	workOn(t)
	if got := len(base.Names()); got != len(Worlds) {
		t.Errorf("%d models are embedded, want one for each of %d worlds", got, len(Worlds))
	}
	for _, world := range Worlds {
		t.Run(world, func(t *testing.T) {
			t.Parallel()
			if _, err := CheckEmbedded(world); err != nil {
				t.Fatal(err)
			}
			s, err := Open(load(t, world, "eval.prompts=64", "eval.samples_per_prompt=1", "eval.steps=10"))
			if err != nil {
				t.Fatal(err)
			}
			checkWords(t, s)
			e, err := s.evaluator(Silent{}).course(t.Context(), samplerOf(t, s, s.base, nil), 0)
			if err != nil {
				t.Fatal(err)
			}
			if r := eval.NewPoint(e).Reward; !(r > embeddedAtLeast && r < embeddedAtMost) {
				t.Errorf("the base model scores %.3f, want %g to %g", r, embeddedAtLeast, embeddedAtMost)
			}
		})
	}
}

// checkWords checks that no word of a prompt is unknown, spelled or cut off. A word that
// the model does not know takes a token per letter.
func checkWords(t *testing.T, s *Session) {
	t.Helper()
	text := s.Model.Text
	ids, places := make([]float32, text.Tokens+1), make([]float32, text.Tokens+1)
	longer := policy.NewTextEncoder(text.Tokens+1, text.JointDim, text.PooledDim, text.Vocab)
	for _, p := range append(s.Problem.Train, s.Problem.HeldOut...) {
		longer.Tokenize(p.Text, ids, places)
		for _, id := range ids {
			if token := text.Vocab[int(id)]; token[0] == '#' || token == "[unk]" {
				t.Fatalf("the model does not know a word of %q", p.Text)
			}
		}
		if text.Vocab[int(ids[text.Tokens])] != "[pad]" {
			t.Fatalf("the model has room for %d tokens, %q has more", text.Tokens, p.Text)
		}
	}
}
