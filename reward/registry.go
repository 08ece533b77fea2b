package reward

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"flowgrpo/internal/edit"
	"flowgrpo/task"
)

// Deps are what a task lends to its rewards. A field is nil if the task has none.
type Deps struct {
	Reader     task.Reader
	Detector   task.Detector
	References References
}

const referencePicture = "reference picture" // what a kind needs that needs References

// have says whether d has what a KindDoc says it needs.
func (d Deps) have(need string) bool {
	switch need {
	case "reader":
		return d.Reader != nil
	case "detector":
		return d.Detector != nil
	case referencePicture:
		return d.References != nil
	}
	return true
}

// A KindDoc describes a kind of reward for help texts.
type KindDoc struct {
	Kind    string     // the value of `kind` in a recipe
	Summary string     // one sentence
	Needs   string     // "reader", "detector" or "reference picture", "" if nothing
	Params  []ParamDoc // further keys
}

// A ParamDoc describes one key of a reward's table.
type ParamDoc struct {
	Key, Default, Summary string
}

// A Constructor makes a reward that is called name. Deps has what its KindDoc
// says it needs, and params has no unknown key.
type Constructor func(name string, params *Params, deps Deps) (Reward, error)

type entry struct {
	doc       KindDoc
	construct Constructor
}

var (
	registryMu sync.RWMutex
	registry   = map[string]entry{}
)

// Register makes a kind of reward known under doc.Kind. It is meant for init
// functions and panics if the kind is empty or taken. Safe for concurrent use.
func Register(doc KindDoc, construct Constructor) {
	registryMu.Lock()
	defer registryMu.Unlock()
	if _, taken := registry[doc.Kind]; taken || doc.Kind == "" || construct == nil {
		panic("reward: kind " + doc.Kind + " is empty or registered twice")
	}
	registry[doc.Kind] = entry{doc, construct}
}

// Kinds returns every registered kind, sorted by name.
func Kinds() []KindDoc {
	registryMu.RLock()
	defer registryMu.RUnlock()
	var docs []KindDoc
	for _, kind := range sortedKeys(registry) {
		docs = append(docs, registry[kind].doc)
	}
	return docs
}

// New makes the reward of the given kind, called name, [Checked]. It is an
// error if the kind or a key of params is unknown, a value has the wrong type,
// or deps lacks what the kind needs; what is wrong with one key wraps a *[KeyError]. Safe
// for concurrent use.
func New(kind, name string, params map[string]any, deps Deps) (Reward, error) {
	registryMu.RLock()
	e, ok := registry[kind]
	kinds := sortedKeys(registry)
	registryMu.RUnlock()
	if !ok {
		return nil, fmt.Errorf("reward %q: %w", name, &KeyError{name, "kind", fmt.Errorf("unknown kind %q%s", kind, hint(kind, kinds))})
	}
	if !deps.have(e.doc.Needs) {
		return nil, fmt.Errorf("reward %q: kind %q %w", name, kind, &LackError{"needs a " + e.doc.Needs})
	}
	if err := checkKeys(name, e.doc, params); err != nil {
		return nil, fmt.Errorf("reward %q: %w", name, err)
	}
	p := &Params{name: name, values: params}
	r, err := e.construct(name, p, deps)
	if p.err != nil {
		err = p.err
	}
	if err != nil {
		return nil, fmt.Errorf("reward %q: kind %q: %w", name, kind, err)
	}
	return Checked(r), nil
}

func checkKeys(name string, doc KindDoc, params map[string]any) error {
	var known []string
	for _, p := range doc.Params {
		known = append(known, p.Key)
	}
	for _, key := range sortedKeys(params) {
		if !slices.Contains(known, key) {
			return &KeyError{name, key, fmt.Errorf("unknown key %q for kind %q%s", key, doc.Kind, hint(key, known))}
		}
	}
	return nil
}

// hint says what word was probably meant, or else what there is.
func hint(word string, known []string) string {
	if near := edit.Nearest(word, known, max(2, len(word)/3)+1); near != "" {
		return fmt.Sprintf(" (did you mean %q?)", near)
	}
	if len(known) == 0 {
		return " (it takes none)"
	}
	return " (known: " + strings.Join(known, ", ") + ")"
}
