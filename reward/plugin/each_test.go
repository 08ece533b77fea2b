package plugin

import (
	"context"
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// batch returns a sample for each group number; IDs count.
func batch(groups ...uint32) (out []Sample) {
	for i, g := range groups {
		out = append(out, Sample{ID: uint32(i), Group: g})
	}
	return out
}

func scores(results []Result) (out []string) {
	for _, r := range results {
		if r.Err != nil {
			out = append(out, r.Err.Error())
		} else {
			out = append(out, fmt.Sprint(r.Score))
		}
	}
	return out
}

func TestEach(t *testing.T) {
	t.Parallel()
	byID := func(s Sample) Result {
		if s.ID == 2 {
			panic("two")
		}
		return Result{Score: float64(s.ID)}
	}
	if got := scores(Each(t.Context(), batch(0, 0, 0, 0), byID)); !slices.Equal(got, []string{"0", "1", "panic: each_test.go:40: two", "3"}) {
		t.Errorf("scores %q", got)
	}
	if got := Each(t.Context(), nil, byID); len(got) != 0 {
		t.Errorf("of none: %v", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got := scores(Each(ctx, batch(0), byID)); !slices.Equal(got, []string{"timed out: nobody waits for the answer any more"}) {
		t.Errorf("after the end: %q", got)
	}
}

func TestEachGroup(t *testing.T) {
	t.Parallel()
	got := scores(EachGroup(t.Context(), batch(4, 4, 7, 4, 8, 8), func(group []Sample) []Result {
		switch group[0].Group {
		case 7:
			panic("seven")
		case 8:
			return make([]Result, 3)
		}
		return repeated(len(group), Result{Score: float64(len(group))})
	}))
	want := []string{"2", "2", "panic: each_test.go:62: seven", "1", "wrong number of scores: 3 results for a group of 2", "wrong number of scores: 3 results for a group of 2"}
	if !slices.Equal(got, want) {
		t.Errorf("scores %q, want %q", got, want)
	}
}

// What the language panics about is found in the code of the reward, too.
func TestPanicSite(t *testing.T) {
	t.Parallel()
	_, _, line, _ := runtime.Caller(0)
	got := scores(Each(t.Context(), batch(0), func(s Sample) Result { return Result{Score: float64(s.Image.Pix[7])} })) // line + 1
	want := fmt.Sprintf("panic: each_test.go:%d: runtime error: index out of range [7] with length 0", line+1)
	if !slices.Equal(got, []string{want}) {
		t.Errorf("scores %q, want %q", got, want)
	}
}

// Source is the whole kit, and the kit needs nothing that has to be installed.
func TestSource(t *testing.T) {
	t.Parallel()
	files, err := fs.Glob(os.DirFS("."), "*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") || name == "source.go" {
			continue
		}
		src, err := Source.ReadFile(name)
		if err != nil {
			t.Errorf("%s is not in Source: %v", name, err)
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, src, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, imp := range file.Imports {
			if first, _, _ := strings.Cut(strings.Trim(imp.Path.Value, `"`), "/"); strings.Contains(first, ".") || first == "flowgrpo" {
				t.Errorf("%s imports %s", name, imp.Path.Value)
			}
		}
	}
	if _, err := Source.ReadFile(path.Join("python", "flowgrpo_reward.py")); err != nil {
		t.Error(err)
	}
}
