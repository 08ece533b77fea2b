package shapes

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"flowgrpo/task"
)

// A tag is one of the six tasks, in the order of GenEval's tables.
type tag int

const (
	singleObject tag = iota
	twoObject
	counting
	colors
	position
	colorAttr
	tasks
)

var tagNames = [tasks]string{"single_object", "two_object", "counting", "colors", "position", "color_attr"}

// A request says what a picture must show.
type request struct {
	tag    tag
	want   []want
	unseen bool // it asks for a held-out combination
	prompt task.Prompt
}

// A want is one clause of a request: so many objects of a class.
type want struct {
	class    class
	count    int
	hue      hue // or anyHue
	relation int // to the first clause, an index into relations; -1 for none
}

// A record is the metadata of a prompt, as in GenEval's evaluation_metadata.jsonl
// with one field added.
type record struct {
	Tag     string `json:"tag"`
	Include []item `json:"include"`
	Exclude []item `json:"exclude,omitempty"`
	Prompt  string `json:"prompt"`
	Unseen  bool   `json:"heldout_combination,omitempty"`
}

type item struct {
	Class    string `json:"class"`
	Count    int    `json:"count"`
	Color    string `json:"color,omitempty"`
	Position *place `json:"position,omitempty"`
}

// A place is written as the pair ["left of", 0]: a relation and the index in
// include of what it relates to.
type place struct {
	relation string
	of       int
}

func (p place) MarshalJSON() ([]byte, error) { return json.Marshal([]any{p.relation, p.of}) }

func (p *place) UnmarshalJSON(b []byte) error {
	var pair []json.RawMessage
	if err := json.Unmarshal(b, &pair); err != nil {
		return err
	}
	if len(pair) != 2 {
		return errors.New("shapes: position is not a pair")
	}
	return errors.Join(json.Unmarshal(pair[0], &p.relation), json.Unmarshal(pair[1], &p.of))
}

// newRequest completes a request: its text, its metadata and whether it is unseen.
func newRequest(t tag, wants ...want) request {
	q := request{tag: t, want: wants}
	q.unseen = q.asksUnseen()
	rec := record{Tag: tagNames[t], Prompt: q.text(), Unseen: q.unseen}
	for _, w := range wants {
		it := item{Class: classNames[w.class], Count: w.count}
		if w.hue != anyHue {
			it.Color = hueNames[w.hue]
		}
		if w.relation >= 0 {
			it.Position = &place{relations[w.relation], 0}
		}
		rec.Include = append(rec.Include, it)
	}
	if t == counting {
		rec.Exclude = []item{{Class: classNames[wants[0].class], Count: wants[0].count + 1}}
	}
	meta, err := json.Marshal(rec)
	if err != nil {
		panic(err) // strings and integers always encode
	}
	q.prompt = task.Prompt{Text: rec.Prompt, Category: rec.Tag, Metadata: meta}
	return q
}

// text returns the caption, in GenEval's words. Of a position request the
// second clause comes first: it is the one that is related to the other.
func (q *request) text() string {
	a := q.want[0]
	switch {
	case q.tag == counting:
		return fmt.Sprintf("a photo of %s %s", numbers[a.count], plurals[a.class])
	case q.tag == position:
		b := q.want[1]
		return fmt.Sprintf("a photo of %s %s %s", b.phrase(), relations[b.relation], a.phrase())
	case len(q.want) == 2:
		return fmt.Sprintf("a photo of %s and %s", a.phrase(), q.want[1].phrase())
	}
	return "a photo of " + a.phrase()
}

func (w want) phrase() string {
	if w.hue == anyHue {
		return "a " + classNames[w.class]
	}
	return "a " + hueNames[w.hue] + " " + classNames[w.class]
}

func (q *request) asksUnseen() bool {
	for _, w := range q.want {
		if w.hue == heldOutHue[w.class] || w.count == heldOutCount[w.class] {
			return true
		}
	}
	return len(q.want) == 2 && pairHeldOut(q.want[0].class, q.want[1].class)
}

// request returns what the record asks for; ok is false if this world cannot
// draw it: an unknown name, no object or too many, or a place that is not of the
// second of two single objects relative to the first.
func (rec *record) request() (q request, ok bool) {
	total := 0
	for i, it := range rec.Include {
		w, ok := it.want()
		if !ok || w.relation >= 0 && (i != 1 || len(rec.Include) != 2 || rec.Include[0].Count != 1 || w.count != 1) {
			return q, false
		}
		total += w.count
		q.want = append(q.want, w)
	}
	return q, 1 <= total && total <= maxObjects
}

func (it *item) want() (w want, ok bool) {
	w = want{class: class(slices.Index(classNames[:], it.Class)), count: it.Count, hue: anyHue, relation: -1}
	ok = w.class >= 0 && 1 <= w.count && w.count <= maxObjects
	if it.Color != "" {
		w.hue = hue(slices.Index(hueNames[:], it.Color))
		ok = ok && w.hue >= 0
	}
	if it.Position != nil {
		w.relation = slices.Index(relations[:], it.Position.relation)
		ok = ok && w.relation >= 0 && it.Position.of == 0
	}
	return w, ok
}
