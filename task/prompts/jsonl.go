package prompts

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"flowgrpo/internal/lines"
)

var known = []string{"prompt", "id", "category", "metadata"}

func parseJSON(l lines.Line) (r record, err error) {
	r.line = l
	object, err := l.Object()
	if err != nil {
		return r, err
	}
	text, ok, err := l.String(object, "prompt")
	if err != nil {
		return r, err
	}
	if !ok {
		return r, l.Errorf("no \"prompt\"")
	}
	r.prompt.Text = text
	if raw, ok := object["id"]; ok {
		r.hasID = true
		if err := json.Unmarshal(raw, &r.prompt.ID); err != nil || string(raw) == "null" {
			return r, l.Errorf("key \"id\" is %.40s, want a whole number from 0 to 4294967295", raw)
		}
	}
	if isGenEval(object) {
		r.prompt.Metadata = json.RawMessage(l.Text)
		r.prompt.Category, _, err = l.String(object, "tag")
		return r, err
	}
	return r, parseRest(&r, object)
}

// isGenEval says whether object is a line of GenEval's evaluation_metadata.jsonl.
func isGenEval(object map[string]json.RawMessage) bool {
	_, tag := object["tag"]
	_, include := object["include"]
	return tag && include
}

// parseRest reads category and metadata and refuses any key that is not known.
func parseRest(r *record, object map[string]json.RawMessage) error {
	for _, key := range slices.Sorted(maps.Keys(object)) {
		if !slices.Contains(known, key) {
			return r.line.Errorf("unknown key %q, want one of %s; what a reward needs goes into \"metadata\"",
				key, strings.Join(known, ", "))
		}
	}
	category, _, err := r.line.String(object, "category")
	if err != nil {
		return err
	}
	r.prompt.Category = category
	if raw, ok := object["metadata"]; ok {
		if raw[0] != '{' {
			return r.line.Errorf("key \"metadata\" is %.40s, want an object", raw)
		}
		r.prompt.Metadata = raw
	}
	return nil
}
