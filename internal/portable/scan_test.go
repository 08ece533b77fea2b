package portable

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// exact are the functions of package math whose result is defined to the last bit, or which
// compute nothing.
var exact = strings.Fields("Abs Ceil Copysign Dim FMA Float32bits Float32frombits Float64bits Float64frombits Floor Frexp Inf IsInf IsNaN " +
	"Ldexp Max Min Mod Modf NaN Nextafter Nextafter32 Remainder Round RoundToEven Signbit Sqrt Trunc")

// mayDiffer are the files that may use other functions of package math, with the reason.
var mayDiffer = map[string]string{
	"eval/chart.go":                    "Pow, Log10: where the ticks of a chart are",
	"task/glyphs/internal/trainjudge/": "made the weights of a judge, once",
	"internal/kernel/optim.go":         "Pow: whole exponents, for which it only multiplies",
}

// TestMathIsPortable: what a run computes uses no function of package math that may differ
// from one machine to another, see the package's comment.
func TestMathIsPortable(t *testing.T) {
	t.Parallel()
	used := map[string]bool{}
	files := 0
	err := fs.WalkDir(os.DirFS("../.."), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && name != "." || d.Name() == "testdata" || d.Name() == "third_party") {
			return fs.SkipDir
		}
		if path.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		files++
		for _, use := range inexact(t, name) {
			part := partOf(mayDiffer, name)
			used[part] = true
			if part == "" {
				t.Errorf("%s uses math.%s, whose last bit may differ between machines; package portable has counterparts", name, use)
			}
		}
		return nil
	})
	if err != nil || files < 200 {
		t.Fatalf("%d files, %v", files, err)
	}
	for name := range mayDiffer {
		if !used[name] {
			t.Errorf("%s uses nothing of the kind: take it from the list", name)
		}
	}
}

// inexact returns the functions of package math that the file uses and that are not exact.
func inexact(t *testing.T, name string) (uses []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join("../..", filepath.FromSlash(name)), nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	local := ""
	for _, spec := range file.Imports {
		switch imported := spec.Path.Value; {
		case imported == `"math/cmplx"`:
			uses = append(uses, "cmplx")
		case imported == `"math"` && spec.Name != nil:
			local = spec.Name.Name
		case imported == `"math"`:
			local = "math"
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if x, ok := call.X.(*ast.Ident); ok && x.Name == local && local != "" && !isConstant(call.Sel.Name) && !slices.Contains(exact, call.Sel.Name) {
			uses = append(uses, call.Sel.Name)
		}
		return true
	})
	return uses
}

// isConstant reports whether package math has a constant of that name: Pi, MaxInt64, Ln2 and
// so on.
func isConstant(name string) bool {
	for _, prefix := range []string{"Max", "Smallest", "MinInt"} {
		if strings.HasPrefix(name, prefix) && name != "Max" {
			return true
		}
	}
	return slices.Contains(strings.Fields("E Pi Phi Sqrt2 SqrtE SqrtPi SqrtPhi Ln2 Log2E Ln10 Log10E"), name)
}
