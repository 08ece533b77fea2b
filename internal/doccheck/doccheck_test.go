package doccheck

import (
	"io/fs"
	"os"
	"slices"
	"testing"
	"testing/fstest"
)

// Every function and test that a document names must exist, and every file that it links to.
func TestDocumentsNameWhatExists(t *testing.T) {
	t.Parallel()
	root := os.DirFS("../..")
	files := []string{"README.md", "ARCHITECTURE.md", "CHANGELOG.md"}
	other := []string{"CHANGELOG.md", "docs/your-own.md"} // name what is gone, and what the reader writes
	more, err := fs.Glob(root, "docs/*.md")
	if err != nil || len(more) < 4 {
		t.Fatalf("%d documents in docs: %v", len(more), err)
	}
	for _, file := range append(files, more...) {
		text, err := fs.ReadFile(root, file)
		if err != nil {
			t.Fatal(err)
		}
		missing, err := Missing(root, string(text))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range missing {
			if slices.Contains(other, file) {
				continue
			}
			t.Errorf("%s names %s, which does not exist", file, name)
		}
		for _, target := range BrokenLinks(root, file, string(text)) {
			t.Errorf("%s links to %s, which does not exist", file, target)
		}
	}
}

func TestBrokenLinks(t *testing.T) {
	t.Parallel()
	root := fstest.MapFS{"docs/a.md": {}, "b.png": {}}
	text := "[a](a.md#part) ![b](../b.png) [c](c.md) [c](c.md) [d](https://x.org/y) [e](#part)"
	if got := BrokenLinks(root, "docs/z.md", text); !slices.Equal(got, []string{"c.md"}) {
		t.Errorf("broken links %v, want c.md", got)
	}
}

func TestMissing(t *testing.T) {
	t.Parallel()
	root := fstest.MapFS{
		"a/a.go": {Data: []byte("package a\n" +
			"type T struct{ F, G int }\nfunc (t *T) M() {}\nfunc New() {}\nconst C = 1\n" +
			"type I interface{ Do() }\ntype P[K any] struct{}\nfunc (P[K]) Get() {}\n")},
		"a/a_test.go":        {Data: []byte("package a_test\nfunc TestReal() {}\n")},
		"testdata/broken.go": {Data: []byte("not Go")},
		".hidden/b.go":       {Data: []byte("not Go")},
		"b/b.go":             {Data: []byte("package b\nfunc TestLooksLikeOne() {}\n")},
	}
	for _, tt := range []struct {
		text   string
		want   []string
		reason string
	}{
		{"`a.T` `a.T.M` `a.T.F` `a.T.G` `a.New` `a.C` `a.I.Do` `a.P.Get` `TestReal`", nil, "all exist"},
		{"`a.Gone` `a.T.Gone`, again `a.Gone`", []string{"a.Gone", "a.T.Gone"}, "each once"},
		{"`TestGone` `FuzzGone` `BenchmarkGone`", []string{"TestGone", "FuzzGone", "BenchmarkGone"}, "tests"},
		{"`TestLooksLikeOne`", []string{"TestLooksLikeOne"}, "not in a test file"},
		{"`c.New`", []string{"c.New"}, "no such package"},
		{"a.Gone, `x = a.Gone + 1`, `go test ./...`, `config.json`, `Test`", nil, "not names between backticks"},
	} {
		got, err := Missing(root, tt.text)
		if err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("Missing(%q) = %v, %v; want %v (%s)", tt.text, got, err, tt.want, tt.reason)
		}
	}
}

func TestMissingReportsBrokenSource(t *testing.T) {
	t.Parallel()
	if _, err := Missing(fstest.MapFS{"a.go": {Data: []byte("not Go")}}, ""); err == nil {
		t.Error("no error for a file that is not Go")
	}
}
