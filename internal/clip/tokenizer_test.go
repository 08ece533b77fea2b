package clip

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"io/fs"
	"os"
	"slices"
	"testing"
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
