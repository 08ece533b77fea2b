package reward

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"flowgrpo/task"
)

func TestPromptLength(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text               string
		least, most        int
		want, words, runes float64
	}{
		{"a red car", 1, 0, 1, 3, 9},
		{"a red car", 3, 3, 1, 3, 9},
		{"a red car", 4, 0, 0, 3, 9},
		{"a red car", 1, 2, 0, 3, 9},
		{"", 1, 0, 0, 0, 0},
		{"", 0, 5, 1, 0, 0},
		{" - , ! ", 1, 0, 0, 0, 7},
		{"two\nlines,no space", 4, 4, 1, 4, 18},
		{"हिन्दी", 1, 1, 1, 1, 6},
		{"une fête à 3 heures", 5, 5, 1, 5, 19},
	} {
		r, err := NewPromptLength("p", c.least, c.most)
		if err != nil {
			t.Fatal(err)
		}
		got := scoreOne(t, r, task.Prompt{Text: c.text})
		if got.Err != nil || got.Score != c.want || got.Parts["words"] != c.words || got.Parts["characters"] != c.runes {
			t.Errorf("%q in [%d, %d]: %v, want %v, %v words of %v characters", c.text, c.least, c.most, got, c.want, c.words, c.runes)
		}
	}
}

func TestPromptWords(t *testing.T) {
	t.Parallel()
	r, err := NewPromptWords("p", []string{"gun", "Straße", "red-hot  poker", "café", "ナイフ"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		text   string
		found  float64
		reason string
	}{
		{"a cat", 0, "nothing listed"},
		{"", 0, "nothing at all"},
		{"a gun", 1, "at the end"},
		{"Gun!", 1, "case and punctuation"},
		{"gun gun", 1, "an entry counts once"},
		{"a gunner begun with guns", 0, "whole words only"},
		{"a ＧＵＮ", 1, "full-width letters"},
		{"a 𝐆𝐔𝐍", 1, "letters of mathematics, which have no lower case of their own"},
		{"GUN on a STRASSE", 2, "two entries; full case folding"},
		{"a red, hot (poker)", 1, "a phrase, whatever stands between its words"},
		{"a red and hot poker", 0, "another word between"},
		{"hot poker, red", 0, "another order"},
		{"a CAFE\u0301", 1, "a combining accent"},
		{"a cafe", 0, "no accent, another word"},
		{"ナイフ、皿", 1, "punctuation of another script"},
		{"ナイフと皿", 0, "not parted from its neighbours, as documented"},
	} {
		got := scoreOne(t, r, task.Prompt{Text: c.text})
		if got.Err != nil || got.Parts["found"] != c.found || got.Score != indicator(c.found == 0) {
			t.Errorf("%q: %v, want %v found: %s", c.text, got, c.found, c.reason)
		}
	}
}

func TestPromptKindsFromRecipe(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "words.txt")
	if err := os.WriteFile(file, []byte("\ufeffknife\r\n\n  hand grenade\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	r, err := New("prompt-words", "safe", map[string]any{"words": []any{"gun"}, "file": file}, Deps{})
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]float64{"a Knife": 0, "hand grenade": 0, "gun": 0, "a hand": 1} {
		if got := scoreOne(t, r, task.Prompt{Text: text}); got.Score != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
	for _, c := range []struct {
		kind   string
		params map[string]any
		want   string
	}{
		{"prompt-words", nil, `no words: give it "words" or "file"`},
		{"prompt-words", map[string]any{"words": []any{"ok", "?!"}}, `"?!" has no word in it`},
		{"prompt-words", map[string]any{"words": "gun"}, "words is gun (string), want a list of strings"},
		{"prompt-words", map[string]any{"words": []any{"gun", 7}}, "words is [gun 7] ([]interface {}), want a list of strings"},
		{"prompt-words", map[string]any{"file": file + "x"}, "no such file"},
		{"prompt-length", map[string]any{"min": 5, "max": 4}, "no prompt has from 5 to 4 words"},
		{"prompt-length", map[string]any{"min": -1}, "no prompt has from -1 to 0 words"},
		{"prompt-length", map[string]any{"max": 2.5}, "max is 2.5 (float64), want a whole number"},
	} {
		if _, err := New(c.kind, "r", c.params, Deps{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %v: error %v, want %s", c.kind, c.params, err, c.want)
		}
	}
}
