package clip

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// goldens is the folder of what transformers computed.
var goldens = os.DirFS("../../testdata/reference/clip")

func subFolder(name string) (fs.FS, error) { return fs.Sub(goldens, name) }

func testTokenizer(t *testing.T) *tokenizer {
	t.Helper()
	fsys, err := subFolder("tokenizer")
	if err != nil {
		t.Fatal(err)
	}
	tok, err := loadTokenizer(fsys)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// contextLength is that of all published models.
const contextLength = 77

// Ten thousand texts, many of them nasty, have the tokens that transformers gives them.
func TestTokensEqualTransformers(t *testing.T) {
	t.Parallel()
	tok := testTokenizer(t)
	f, err := goldens.Open("tokenizer/golden.jsonl.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	lines, wrong := 0, 0
	for s := bufio.NewScanner(z); s.Scan(); lines++ {
		var text string
		var want []int
		if err := json.Unmarshal(s.Bytes(), &[2]any{&text, &want}); err != nil {
			t.Fatal(err)
		}
		if got := tok.encode(text, contextLength); !slices.Equal(got, want) {
			if wrong++; wrong <= 10 {
				t.Errorf("line %d, %q:\n%v, transformers\n%v", lines+1, text, got, want)
			}
		}
	}
	if lines != 10_000 || wrong > 0 {
		t.Errorf("%d of %d texts are wrong, want 0 of 10000", wrong, lines)
	}
}

// Pieces are those of the pattern, and special tokens that lowering has made are split.
func TestPieces(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"it's 4k, isn't it?":           "it|'s|4|k|,|isn|'t|it|?",
		"we've they'll i'd you're i'm": "we|'ve|they|'ll|i|'d|you|'re|i|'m",
		"'super'' \u00a0\u0085\u3000x": "'s|uper|''|x",
		"<|endoftext|>'s":              "<|;endoftext;|>;'s",
		"<|startoftext|>'s":            "<|;startoftext;|>;'s",
		"<|endoftex|>'s":               "<|;endoftex;|>';s",
	} {
		var got []string
		pieces(text, func(p string) { got = append(got, p) })
		separator := "|"
		if strings.Contains(want, ";") {
			separator = ";"
		}
		if joined := strings.Join(got, separator); joined != want {
			t.Errorf("%q: %s, want %s", text, joined, want)
		}
	}
}

// The tokenizer of tokenizer.json is the one of vocab.json and merges.txt, whatever the form of
// the merges.
func TestTokenizerFilesAgree(t *testing.T) {
	t.Parallel()
	parts := testTokenizer(t)
	pairs := folder(t, "gelu")
	var whole map[string]any
	if err := json.Unmarshal(pairs[tokenizerFile].Data, &whole); err != nil {
		t.Fatal(err)
	}
	model := whole["model"].(map[string]any)
	for i, m := range model["merges"].([]any) { // as strings
		pair := m.([]any)
		model["merges"].([]any)[i] = pair[0].(string) + " " + pair[1].(string)
	}
	changed, err := json.Marshal(whole)
	if err != nil {
		t.Fatal(err)
	}
	for name, fsys := range map[string]fs.FS{"pairs": pairs, "strings": fstest.MapFS{tokenizerFile: {Data: changed}}} {
		got, err := loadTokenizer(fsys)
		if err != nil {
			t.Fatal(err)
		}
		if !maps.Equal(got.merges, parts.merges) || got.inside != parts.inside || got.last != parts.last || got.start != parts.start || got.end != parts.end {
			t.Errorf("merges as %s: another tokenizer than that of the parts", name)
		}
	}
}

// A word of a million letters, whose merges each make room for another one, is no trouble.
func TestLongWord(t *testing.T) {
	t.Parallel()
	tok := testTokenizer(t)
	word := strings.Repeat("ththeei", 150_000)
	got := tok.encode(word, len(word)+2)
	if n := len(tok.encode(word[:700], 800)); len(got)/1500 < n/2 || len(got)/1500 > 2*n {
		t.Errorf("%d tokens of the long word, %d of a 1500th of it", len(got), n)
	}
	if !slices.Equal(got[:100], tok.encode(word[:7000], 200)[:100]) {
		t.Error("a long word begins with other tokens than a shorter one")
	}
}

// Whatever the text, its tokens are in the vocabulary, between start and end, and not too many.
func FuzzEncode(f *testing.F) {
	for _, seed := range []string{"", "it's", "a<|endoftext|>b", "\xff\xfe", "e\u0301", "İ"} {
		f.Add(seed)
	}
	fsys, err := subFolder("tokenizer")
	if err != nil {
		f.Fatal(err)
	}
	tok, err := loadTokenizer(fsys)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		ids := tok.encode(text, contextLength)
		if n := len(ids); n < 2 || n > contextLength || ids[0] != tok.start || ids[n-1] != tok.end {
			t.Fatalf("%q: %v", text, ids)
		}
		if slices.Min(ids) < 0 || slices.Max(ids) >= tok.size {
			t.Fatalf("%q: ids %v, want those below %d", text, ids, tok.size)
		}
	})
}
