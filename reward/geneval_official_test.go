package reward

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"flowgrpo/task"
)

// An officialCase is what the official scorer says of some detections.
type officialCase struct {
	Metadata   json.RawMessage
	Detections []officialDetection
	Correct    bool
	Reasons    [][]string
}

// An officialDetection is written as class, color, x0, y0, x1, y1, score.
type officialDetection task.Detection

func (d *officialDetection) UnmarshalJSON(data []byte) error {
	row := []any{&d.Class, &d.Color, &d.Box[0], &d.Box[1], &d.Box[2], &d.Box[3], &d.Score}
	return json.Unmarshal(data, &row)
}

func officialCases(t *testing.T) []officialCase {
	t.Helper()
	data, err := os.ReadFile("../testdata/reference/geneval/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden struct{ Cases []officialCase }
	if err := json.Unmarshal(data, &golden); err != nil {
		t.Fatal(err)
	}
	return golden.Cases
}

// The strict rules give the verdict of the official scorer, for its reasons, on
// synthetic detections of all six tasks. See contrib/goldens/geneval.py.
func TestGenEvalIsOfficial(t *testing.T) {
	t.Parallel()
	official := map[string]any{"min_score": .3, "min_score_counting": .9, "ties": "last"}
	seen := map[string]int{}
	for i, c := range officialCases(t) {
		var found scene
		for _, d := range c.Detections {
			found = append(found, task.Detection(d))
		}
		r, err := New("geneval", "g", official, Deps{Detector: found})
		if err != nil {
			t.Fatal(err)
		}
		if got := scoreOne(t, r, asked(string(c.Metadata))); got.Err != nil || got.Score != indicator(c.Correct) {
			t.Errorf("case %d: score %v (%v), want %v: %s", i, got.Score, got.Err, c.Correct, c.Metadata)
		}
		tag, got := reasons(t, asked(string(c.Metadata)), found)
		if len(got)+len(c.Reasons) > 0 && !reflect.DeepEqual(got, c.Reasons) {
			t.Errorf("case %d: reasons %q, want %q: %s", i, got, c.Reasons, c.Metadata)
		}
		seen[fmt.Sprint(tag, c.Correct)]++
	}
	const tasks, least = 6, 10
	for key, n := range seen {
		if n < least {
			t.Errorf("only %d cases are %s", n, key)
		}
	}
	if len(seen) != 2*tasks {
		t.Errorf("cases of %v, want right and wrong ones of all %d tasks", seen, tasks)
	}
}

// reasons returns what is wrong by the official rules, in the words of the golden.
func reasons(t *testing.T, p task.Prompt, found scene) (tag string, out [][]string) {
	t.Helper()
	asked, objs, err := look(found, GenEvalRules{.3, .9, true}, Sample{Prompt: p})
	if err != nil {
		t.Fatal(err)
	}
	m := asked.matches(objs)
	for i, c := range asked.include {
		switch {
		case m[i].present < c.count:
			out = append(out, []string{"count", c.class, fmt.Sprint(m[i].present)})
		case m[i].colored < c.count:
			out = append(out, []string{"color", c.class, fmt.Sprint(m[i].colored)})
		case c.relation != "" && !m[c.target].ok:
			out = append(out, []string{"target", c.class})
		case !m[i].placed:
			out = append(out, []string{"position", c.class, misplaced(m[i].found, c.relation, m[c.target].found)})
		}
	}
	for _, c := range asked.exclude {
		if n := len(objs[c.class]); n >= c.count {
			out = append(out, []string{"exclude", c.class, fmt.Sprint(n)})
		}
	}
	return asked.tag, out
}

// misplaced returns the relations of the first pair that lacks the one wanted.
func misplaced(as []task.Detection, wanted string, bs []task.Detection) string {
	for _, a := range as {
		for _, b := range bs {
			var holding []string
			for _, r := range []string{above, below, leftOf, rightOf} {
				if related(a, r, b) {
					holding = append(holding, r)
				}
			}
			if !related(a, wanted, b) {
				return strings.Join(holding, " and ")
			}
		}
	}
	return "no such pair"
}
