// Package doccheck finds names in a document that the source no longer has, so
// that a text which says "this formula is that function, and this test proves it"
// cannot go stale unnoticed.
package doccheck

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"regexp"
	"strings"
)

// Missing returns the names in document which no Go file in root declares, in the
// order of the text and each once. Both are found between backticks:
//
//   - tests, `TestName`, FuzzName, BenchmarkName and ExampleName alike;
//   - exported identifiers of root's packages, `pkg.Name`, and their methods and
//     fields, `pkg.Type.Name`. A package that root does not have is missing too.
//
// Everything else between backticks is ignored. Folders named testdata and those
// that begin with a dot or underscore are not searched.
func Missing(root fs.FS, document string) ([]string, error) {
	declared, err := declarations(root)
	if err != nil {
		return nil, err
	}
	var missing []string
	seen := map[string]bool{}
	for _, match := range quoted.FindAllStringSubmatch(document, -1) {
		name := match[1]
		if seen[name] || declared[name] || !(testName.MatchString(name) || goName.MatchString(name)) {
			continue
		}
		seen[name] = true
		missing = append(missing, name)
	}
	return missing, nil
}

var (
	quoted   = regexp.MustCompile("`([^`\n]+)`")
	testName = regexp.MustCompile(`^(Test|Fuzz|Benchmark|Example)[A-Z]\w*$`)
	goName   = regexp.MustCompile(`^[a-z][a-z0-9]*\.[A-Z]\w*(\.[A-Z]\w*)?$`)
)

// declarations returns every name of root's Go files in the forms that Missing
// looks for.
func declarations(root fs.FS) (map[string]bool, error) {
	declared := map[string]bool{}
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if base := path.Base(name); entry.IsDir() && name != "." && (base == "testdata" || base[0] == '.' || base[0] == '_') {
			return fs.SkipDir
		}
		if entry.IsDir() || path.Ext(name) != ".go" {
			return nil
		}
		src, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, src, parser.SkipObjectResolution)
		if err != nil {
			return fmt.Errorf("doccheck: %w", err)
		}
		for _, found := range namesOf(file) {
			if strings.HasSuffix(name, "_test.go") {
				declared[found] = true
			} else {
				declared[file.Name.Name+"."+found] = true
			}
		}
		return nil
	})
	return declared, err
}

// namesOf returns what a file declares: Name for anything at the top level, and
// Type.Name for methods, fields and methods of interfaces.
func namesOf(file *ast.File) []string {
	var names []string
	for _, decl := range file.Decls {
		switch decl := decl.(type) {
		case *ast.FuncDecl:
			names = append(names, receiver(decl)+decl.Name.Name)
		case *ast.GenDecl:
			for _, spec := range decl.Specs {
				names = append(names, namesOfSpec(spec)...)
			}
		}
	}
	return names
}

func namesOfSpec(spec ast.Spec) []string {
	var names []string
	switch spec := spec.(type) {
	case *ast.ValueSpec:
		for _, id := range spec.Names {
			names = append(names, id.Name)
		}
	case *ast.TypeSpec:
		names = append(names, spec.Name.Name)
		for _, field := range fields(spec.Type) {
			for _, id := range field.Names {
				names = append(names, spec.Name.Name+"."+id.Name)
			}
		}
	}
	return names
}

// fields returns the fields of a struct or the methods of an interface.
func fields(t ast.Expr) []*ast.Field {
	switch t := t.(type) {
	case *ast.StructType:
		return t.Fields.List
	case *ast.InterfaceType:
		return t.Methods.List
	}
	return nil
}

// receiver returns "Type." for a method, "" for a function.
func receiver(decl *ast.FuncDecl) string {
	if decl.Recv == nil {
		return ""
	}
	t := decl.Recv.List[0].Type
	if star, ok := t.(*ast.StarExpr); ok {
		t = star.X
	}
	switch generic := t.(type) {
	case *ast.IndexExpr:
		t = generic.X
	case *ast.IndexListExpr:
		t = generic.X
	}
	if id, ok := t.(*ast.Ident); ok {
		return id.Name + "."
	}
	return ""
}
