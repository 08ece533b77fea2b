package doccheck

import (
	"os"
	"slices"
	"testing"
	"testing/fstest"
)

// Every function and test that docs/theory.md names must exist.
func TestTheoryNamesExist(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/theory.md")
	if err != nil {
		t.Fatal(err)
	}
	missing, err := Missing(os.DirFS("../.."), string(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range missing {
		t.Errorf("docs/theory.md names %s, which does not exist", name)
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
