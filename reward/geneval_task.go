package reward

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"flowgrpo/internal/jsonfile"
	"flowgrpo/task"
)

// maxObjects is how many objects of a class GenEval looks at; the most
// confident ones stay.
const maxObjects = 16

// maxClauses bounds the work that one prompt can ask for.
const maxClauses = 64

// The relations of GenEval's position task.
const (
	leftOf  = "left of"
	rightOf = "right of"
	above   = "above"
	below   = "below"
)

var relations = []string{leftOf, rightOf, above, below}

// A genEvalTask is what a prompt's metadata asks for.
type genEvalTask struct {
	tag     string
	include []genEvalClause
	exclude []genEvalClause
}

// A genEvalClause asks for count objects of a class, maybe of one colour, maybe
// in a relation to the objects of an earlier clause. In an exclude clause, count
// is the first number that is too many.
type genEvalClause struct {
	class    string
	count    int
	color    string // "" = any
	relation string // "" = anywhere
	target   int    // index of the clause that relation refers to
}

// parseGenEval reads a record of GenEval's evaluation_metadata.jsonl. Keys that
// the rules do not use are ignored; everything that they use must make sense.
func parseGenEval(p task.Prompt) (genEvalTask, error) {
	var record struct {
		Tag     string          `json:"tag"`
		Include []genEvalRecord `json:"include"`
		Exclude []genEvalRecord `json:"exclude"`
	}
	if len(p.Metadata) == 0 {
		return genEvalTask{}, fail(BadPrompt, "%q has no metadata", p.Text)
	}
	if err := jsonfile.Decode("", p.Metadata, &record, false); err != nil {
		return genEvalTask{}, fail(BadPrompt, "metadata: %w", err)
	}
	if len(record.Include) == 0 || len(record.Include)+len(record.Exclude) > maxClauses {
		return genEvalTask{}, fail(BadPrompt, "metadata has %d include and %d exclude clauses, want 1 to %d",
			len(record.Include), len(record.Exclude), maxClauses)
	}
	t := genEvalTask{tag: record.Tag}
	for i, r := range record.Include {
		c, err := r.clause(i, maxObjects)
		if err != nil {
			return genEvalTask{}, fail(BadPrompt, "include clause %d: %w", i, err)
		}
		t.include = append(t.include, c)
	}
	for i, r := range record.Exclude {
		c, err := r.clause(0, maxObjects+1)
		if err != nil {
			return genEvalTask{}, fail(BadPrompt, "exclude clause %d: %w", i, err)
		}
		if c.color != "" {
			return genEvalTask{}, fail(BadPrompt, "exclude clause %d: takes no color", i)
		}
		t.exclude = append(t.exclude, c)
	}
	return t, nil
}

// limit returns the first number of objects of class that is too many.
func (t genEvalTask) limit(class string) int {
	limit := maxObjects + 1
	for _, c := range t.exclude {
		if c.class == class {
			limit = min(limit, c.count)
		}
	}
	return limit
}

// included says whether some include clause asks for class.
func (t genEvalTask) included(class string) bool {
	return slices.ContainsFunc(t.include, func(c genEvalClause) bool { return c.class == class })
}

// A genEvalRecord is a clause as written.
type genEvalRecord struct {
	Class    string            `json:"class"`
	Count    int               `json:"count"`
	Color    *string           `json:"color"`
	Position []json.RawMessage `json:"position"`
}

// clause checks r, which is clause i of its list and may count to most.
func (r genEvalRecord) clause(i, most int) (c genEvalClause, err error) {
	c = genEvalClause{class: r.Class, count: r.Count}
	if c.class == "" {
		return c, errors.New("no class")
	}
	if c.count < 1 || c.count > most {
		return c, fmt.Errorf("count is %d, want 1 to %d", c.count, most)
	}
	if r.Color != nil {
		if c.color = *r.Color; c.color == "" {
			return c, errors.New("color is empty")
		}
	}
	if r.Position == nil {
		return c, nil
	}
	if len(r.Position) != 2 || json.Unmarshal(r.Position[0], &c.relation) != nil || json.Unmarshal(r.Position[1], &c.target) != nil {
		return c, errors.New("position is not [relation, clause]")
	}
	if !slices.Contains(relations, c.relation) {
		return c, fmt.Errorf("unknown relation %q, want one of %q", c.relation, relations)
	}
	if c.target < 0 || c.target >= i {
		return c, fmt.Errorf("position refers to clause %d, want an earlier one", c.target)
	}
	return c, nil
}
