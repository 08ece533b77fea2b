package config

import (
	"embed"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"strings"
	"sync"

	"flowgrpo/configs"
)

// A KeyDoc documents one key of a recipe.
type KeyDoc struct {
	Key     string // such as "rollout.steps"; rewards are "reward.NAME.kind"
	Type    string // such as "integer"
	Default string // as TOML
	Allowed string // such as `in [2, 1000]` or `"euler", "heun" or "dpm++2m"`; may be empty
	Doc     string // what it means, in sentences
}

// Keys returns all keys in the order of the sections.
func Keys() []KeyDoc {
	c := Default()
	c.Reward = map[string]Reward{"NAME": defaultReward()}
	var keys []KeyDoc
	each(&c, func(path string, f field, owner reflect.Type, v reflect.Value) {
		k := KeyDoc{Key: path, Type: typeName(f.typ), Default: encodeValue(v), Doc: comments()[owner.Name()+"."+f.goName]}
		if f.oneof != nil {
			k.Allowed = words(f.oneof)
		} else {
			k.Allowed = f.bound.String()
		}
		keys = append(keys, k)
	})
	return keys
}

// each calls visit for every key of c but a reward's parameters: top-level keys,
// then section by section, then the rewards by name.
func each(c *Config, visit func(path string, f field, owner reflect.Type, v reflect.Value)) {
	root := reflect.ValueOf(c).Elem()
	section := func(prefix string, v reflect.Value) {
		for _, f := range fieldsOf(v.Type()) {
			if k := f.typ.Kind(); k != reflect.Struct && k != reflect.Map {
				visit(join(prefix, f.key), f, v.Type(), v.Field(f.index))
			}
		}
	}
	section("", root)
	for _, f := range fieldsOf(root.Type()) {
		if f.typ.Kind() == reflect.Struct {
			section(f.key, root.Field(f.index))
		}
	}
	for _, name := range sortedNames(c.Reward) {
		section(join("reward", name), reflect.ValueOf(c.Reward[name]))
	}
}

//go:embed config.go train.go device.go pretrain.go
var source embed.FS

// comments maps "Type.Field" to the field's comment in the source, so that the
// documentation of a key is written once.
var comments = sync.OnceValue(func() map[string]string {
	docs := map[string]string{}
	for _, name := range []string{"config.go", "train.go", "device.go", "pretrain.go"} {
		text, err := source.ReadFile(name)
		if err != nil {
			panic("config: " + err.Error())
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			panic("config: " + err.Error())
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			if s, ok := spec.Type.(*ast.StructType); ok {
				for _, f := range s.Fields.List {
					for _, name := range f.Names {
						docs[spec.Name.Name+"."+name.Name] = strings.Join(strings.Fields(f.Doc.Text()), " ")
					}
				}
			}
			return false
		})
	}
	return docs
})

// pretraining returns the names of the embedded recipes that pretrain.
func pretraining() []string {
	var names []string
	for _, n := range configs.List() {
		if c, err := Load(n, nil); err == nil && c.Pretrain.Steps > 0 {
			names = append(names, n)
		}
	}
	return names
}
