package reward

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"flowgrpo/task"
)

// A scene is a Detector that finds always the same objects.
type scene []task.Detection

func (s scene) Detect(task.Image) []task.Detection { return s }

// at returns a detection of size 8×8 with its corner at (x, y).
func at(class, color string, x, y float64) task.Detection {
	return task.Detection{Class: class, Color: color, Box: [4]float64{x, y, x + 8, y + 8}, Score: 1}
}

// several returns n objects of a class in a row.
func several(class string, n int) (out scene) {
	for i := range n {
		out = append(out, at(class, "red", float64(10*i), 0))
	}
	return out
}

func asked(metadata string) task.Prompt {
	return task.Prompt{ID: 5, Text: "a photo", Metadata: json.RawMessage(metadata)}
}

const (
	oneCircle  = `{"tag":"single_object","include":[{"class":"circle","count":1}]}`
	both       = `{"tag":"two_object","include":[{"class":"circle","count":1},{"class":"square","count":1}]}`
	three      = `{"tag":"counting","include":[{"class":"star","count":3}],"exclude":[{"class":"star","count":4}]}`
	redCross   = `{"tag":"colors","include":[{"class":"cross","count":1,"color":"red"}]}`
	leftSquare = `{"tag":"position","include":[{"class":"square","count":1},{"class":"circle","count":1,"position":["left of",0]}]}`
	twoColors  = `{"tag":"color_attr","include":[{"class":"circle","count":1,"color":"red"},{"class":"square","count":1,"color":"blue"}]}`
	everything = `{"include":[{"class":"square","count":1},{"class":"circle","count":2,"color":"red","position":["left of",0]}]}`
)

func TestGenEval(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, metadata string
		scene          scene
		strict, soft   float64
		reason         string
	}{
		{"single", oneCircle, scene{at("circle", "", 0, 0)}, 1, 1, "it is there"},
		{"single, missing", oneCircle, nil, 0, 0, "nothing is there"},
		{"single, other", oneCircle, scene{at("square", "", 0, 0)}, 0, 0, "something else is there"},
		{"single, two", oneCircle, several("circle", 2), 1, 1, "at least one; no exclude clause"},
		{"single, many", oneCircle, several("circle", 40), 1, 1, "the released soft score falls to -38 here"},
		{"both", both, scene{at("circle", "", 0, 0), at("square", "", 20, 0)}, 1, 1, "both are there"},
		{"both, half", both, scene{at("circle", "", 0, 0)}, 0, .5, "one of two clauses"},
		{"three", three, several("star", 3), 1, 1, "right number"},
		{"three, none", three, nil, 0, 0, "1 - 3/3"},
		{"three, one", three, several("star", 1), 0, 1. / 3, "1 - 2/3"},
		{"three, two", three, several("star", 2), 0, 2. / 3, "1 - 1/3"},
		{"three, four", three, several("star", 4), 0, 1 - 1./3, "excluded: 1 - 1/3"},
		{"three, five", three, several("star", 5), 0, 1 - 2./3, "excluded: 1 - 2/3"},
		{"three, nine", three, several("star", 9), 0, 0, "1 - 6/3 is below 0"},
		{"colour", redCross, scene{at("cross", "red", 0, 0)}, 1, 1, "right colour"},
		{"colour, wrong", redCross, scene{at("cross", "blue", 0, 0)}, 0, .5, "count right, colour wrong"},
		{"colour, missing", redCross, scene{at("star", "red", 0, 0)}, 0, 0, "no colour credit without the object"},
		{"colour, most confident", redCross, scene{
			{Class: "cross", Color: "red", Box: [4]float64{0, 0, 8, 8}, Score: .6},
			{Class: "cross", Color: "blue", Box: [4]float64{9, 0, 17, 8}, Score: .7}}, 0, .5, "only the most confident cross counts"},
		{"colours", twoColors, scene{at("circle", "red", 0, 0), at("square", "blue", 20, 0)}, 1, 1, "both colours"},
		{"colours, swapped", twoColors, scene{at("circle", "blue", 0, 0), at("square", "red", 20, 0)}, 0, .5, "counts right, colours wrong"},
		{"colours, one", twoColors, scene{at("circle", "red", 0, 0), at("square", "red", 20, 0)}, 0, .75, "three of four terms"},
		{"left", leftSquare, scene{at("circle", "", 0, 0), at("square", "", 20, 0)}, 1, 1, "in its place"},
		{"left, wrong", leftSquare, scene{at("square", "", 0, 0), at("circle", "", 20, 0)}, 0, 2. / 3, "the released soft score gives 0.75"},
		{"left, no square", leftSquare, scene{at("circle", "", 0, 0)}, 0, 1. / 3, "nothing to be left of"},
		{"left, no circle", leftSquare, scene{at("square", "", 0, 0)}, 0, 1. / 3, "nothing that is left"},
		{"everything", everything, scene{at("circle", "red", 0, 0), at("circle", "red", 0, 10), at("square", "", 20, 5)}, 1, 1, "two red circles left of a square"},
		{"everything, one blue", everything, scene{at("circle", "red", 0, 0), at("circle", "blue", 0, 10), at("square", "", 20, 5)}, 0, (1 + 1 + .5 + 1) / 4, "half of the colours"},
		{"everything, one circle", everything, scene{at("circle", "red", 0, 0), at("square", "", 20, 5)}, 0, (1 + .5 + 0 + 0) / 4, "a wrong count costs colour and position too"},
		{"everything, one right", everything, scene{at("circle", "red", 0, 0), at("circle", "red", 40, 0), at("square", "", 20, 0)}, 0, .75, "every circle must be left"},
		{"exclude only", `{"include":[{"class":"circle","count":1}],"exclude":[{"class":"star","count":1}]}`,
			scene{at("circle", "", 0, 0), at("star", "", 20, 0)}, 0, .5, "an excluded class earns 1-(1-1+1)/1"},
		{"exclude kept", `{"include":[{"class":"circle","count":1}],"exclude":[{"class":"star","count":2}]}`,
			scene{at("circle", "", 0, 0), at("star", "", 20, 0)}, 1, 1, "one star is fewer than two"},
	} {
		p := asked(c.metadata)
		strict := scoreOne(t, NewGenEval("strict", c.scene, GenEvalRules{}), p)
		soft := scoreOne(t, NewGenEvalSoft("soft", c.scene, GenEvalRules{}), p)
		if strict.Err != nil || soft.Err != nil {
			t.Errorf("%s: %v, %v", c.name, strict.Err, soft.Err)
		}
		if strict.Score != c.strict || soft.Score != c.soft || soft.Parts["strict"] != c.strict {
			t.Errorf("%s: strict %v, soft %v %v, want %v, %v: %s", c.name, strict.Score, soft.Score, soft.Parts, c.strict, c.soft, c.reason)
		}
	}
}

func TestGenEvalSoftParts(t *testing.T) {
	t.Parallel()
	got := scoreOne(t, NewGenEvalSoft("soft", scene{at("circle", "red", 0, 0), at("circle", "blue", 0, 10), at("square", "", 20, 5)}, GenEvalRules{}), asked(everything))
	if want := map[string]float64{"count": 1, "color": .5, "position": 1, "strict": 0}; fmt.Sprint(got.Parts) != fmt.Sprint(want) {
		t.Errorf("parts %v, want %v", got.Parts, want)
	}
	got = scoreOne(t, NewGenEvalSoft("soft", scene{at("circle", "", 0, 0)}, GenEvalRules{}), asked(oneCircle))
	if want := map[string]float64{"count": 1, "strict": 1}; fmt.Sprint(got.Parts) != fmt.Sprint(want) {
		t.Errorf("parts %v, want %v", got.Parts, want)
	}
}

// Two 8×8 boxes have a dead zone of 0.1·16 = 1.6 pixels per axis.
func TestRelated(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		dx, dy float64
		want   string
		reason string
	}{
		{-10, 0, "left of", "8.4/10 is beyond .5"},
		{10, 0, "right of", "8.4/10 is beyond .5"},
		{0, -10, "above", "y points down"},
		{0, 10, "below", "y points down"},
		{0, 0, "", "the same place is in no relation, and divides nothing by 0"},
		{-1.6, 0, "", "the edge of the dead zone is in it"},
		{1.5, -1.5, "", "both in the dead zone"},
		{-3.1, 0, "", "1.5/3.1 = .484"},
		{-3.3, 0, "left of", "1.7/3.3 = .515"},
		{-20, -20, "left of above", "18.4/28.3 = .65 on both axes"},
		{20, 10, "right of", "18.4/22.4 = .82, 8.4/22.4 = .38: the length is that of the whole offset, not of what is left of it"},
		{-9, 9, "left of below", "7.4/12.7 = .58"},
		{-5, 5, "", "3.4/7.07 = .48 on both"},
	} {
		a, b := at("a", "", 30+c.dx, 30+c.dy), at("b", "", 30, 30)
		var got []string
		for _, r := range relations {
			if related(a, r, b) {
				got = append(got, r)
			}
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("offset (%v, %v): %q, want %q: %s", c.dx, c.dy, s, c.want, c.reason)
		}
	}
}

func TestGenEvalThresholds(t *testing.T) {
	t.Parallel()
	weak := scene{{Class: "star", Box: [4]float64{0, 0, 8, 8}, Score: .5}, {Class: "star", Box: [4]float64{10, 0, 18, 8}, Score: .3}}
	count := func(tag string, n int) task.Prompt {
		return asked(fmt.Sprintf(`{"tag":%q,"include":[{"class":"star","count":%d}]}`, tag, n))
	}
	for _, c := range []struct {
		tag    string
		n      int
		rules  GenEvalRules
		want   float64
		reason string
	}{
		{"two_object", 2, GenEvalRules{}, 1, "no threshold"},
		{"two_object", 2, GenEvalRules{.3, .9, false}, 0, "the threshold itself is not above it"},
		{"two_object", 1, GenEvalRules{.3, .9, false}, 1, ".5 is above .3"},
		{"counting", 1, GenEvalRules{.3, .9, false}, 0, "counting is stricter"},
		{"counting", 2, GenEvalRules{.3, 0, false}, 1, "each threshold stands for itself"},
	} {
		if got := scoreOne(t, NewGenEval("g", weak, c.rules), count(c.tag, c.n)); got.Score != c.want || got.Err != nil {
			t.Errorf("%s ≥ %d with %+v: %v (%v), want %v: %s", c.tag, c.n, c.rules, got.Score, got.Err, c.want, c.reason)
		}
	}
}

func TestGenEvalRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ metadata, want string }{
		{``, `"a photo" has no metadata`},
		{`null`, "0 include and 0 exclude clauses"},
		{`{`, "metadata: "},
		{`[]`, "metadata: "},
		{`{"tag":"counting"}`, "0 include and 0 exclude clauses"},
		{`{"include":[],"exclude":[{"class":"star","count":1}]}`, "0 include and 1 exclude clauses"},
		{`{"include":[` + strings.Repeat(`{"class":"a","count":1},`, 64) + `{"class":"a","count":1}]}`, "65 include and 0 exclude clauses, want 1 to 64"},
		{`{"include":[{"count":1}]}`, "include clause 0: no class"},
		{`{"include":[{"class":"star"}]}`, "include clause 0: count is 0, want 1 to 16"},
		{`{"include":[{"class":"star","count":-1}]}`, "count is -1"},
		{`{"include":[{"class":"star","count":17}]}`, "count is 17, want 1 to 16"},
		{`{"include":[{"class":"star","count":1.5}]}`, "metadata: "},
		{`{"include":[{"class":"star","count":"1"}]}`, "metadata: "},
		{`{"include":[{"class":"star","count":1e99}]}`, "metadata: "},
		{`{"include":[{"class":"star","count":1,"color":""}]}`, "color is empty"},
		{`{"include":[{"class":"star","count":1,"position":["left of",0]}]}`, "position refers to clause 0, want an earlier one"},
		{`{"include":[{"class":"a","count":1},{"class":"star","count":1,"position":["left of",1]}]}`, "include clause 1: position refers to clause 1"},
		{`{"include":[{"class":"a","count":1},{"class":"star","count":1,"position":["left of",-1]}]}`, "position refers to clause -1"},
		{`{"include":[{"class":"a","count":1},{"class":"star","count":1,"position":["near",0]}]}`, `unknown relation "near"`},
		{`{"include":[{"class":"a","count":1},{"class":"star","count":1,"position":["left of"]}]}`, "position is not [relation, clause]"},
		{`{"include":[{"class":"a","count":1},{"class":"star","count":1,"position":[0,"left of"]}]}`, "position is not [relation, clause]"},
		{`{"include":[{"class":"a","count":1},{"class":"star","count":1,"position":[]}]}`, "position is not [relation, clause]"},
		{`{"include":[{"class":"star","count":1}],"exclude":[{"class":"star","count":18}]}`, "exclude clause 0: count is 18, want 1 to 17"},
		{`{"include":[{"class":"star","count":1}],"exclude":[{"class":"star","count":2,"color":"red"}]}`, "exclude clause 0: takes no color"},
	} {
		got := scoreOne(t, NewGenEvalSoft("g", several("star", 1), GenEvalRules{}), asked(c.metadata))
		var f *Failure
		if !errors.As(got.Err, &f) || f.Reason != BadPrompt || f.Prompt != 5 || !strings.Contains(f.Error(), c.want) {
			t.Errorf("%s: error %v, want a BadPrompt failure of prompt 5 with %s", c.metadata, got.Err, c.want)
		}
	}
}

func TestGenEvalRefusesBrokenDetections(t *testing.T) {
	t.Parallel()
	zero := 0.0
	d := at("circle", "", 0, 0)
	d.Box[2] /= zero
	got := scoreOne(t, NewGenEval("g", scene{d}, GenEvalRules{}), asked(oneCircle))
	if f := (*Failure)(nil); !errors.As(got.Err, &f) || f.Reason != BadDetection {
		t.Errorf("an infinite box: error %v, want BadDetection", got.Err)
	}
}

// randomTask returns metadata of one to three clauses over three classes.
func randomTask(r *rand.Rand) string {
	classes, colors := []string{"circle", "square", "star"}, []string{"red", "blue"}
	var include, exclude []string
	for i := range 1 + r.IntN(3) {
		n := 1 + r.IntN(3)
		c := fmt.Sprintf(`{"class":%q,"count":%d`, classes[r.IntN(3)], n)
		if r.IntN(2) == 0 {
			c += fmt.Sprintf(`,"color":%q`, colors[r.IntN(2)])
		}
		if i > 0 && r.IntN(2) == 0 {
			c += fmt.Sprintf(`,"position":[%q,%d]`, relations[r.IntN(4)], r.IntN(i))
		}
		include = append(include, c+"}")
	}
	for range r.IntN(3) {
		exclude = append(exclude, fmt.Sprintf(`{"class":%q,"count":%d}`, classes[r.IntN(3)], 1+r.IntN(5)))
	}
	return fmt.Sprintf(`{"include":[%s],"exclude":[%s]}`, strings.Join(include, ","), strings.Join(exclude, ","))
}

func randomScene(r *rand.Rand) (out scene) {
	for range r.IntN(8) {
		d := at([]string{"circle", "square", "star"}[r.IntN(3)], []string{"red", "blue"}[r.IntN(2)], float64(r.IntN(24)), float64(r.IntN(24)))
		d.Score = float64(1+r.IntN(3)) / 4 // ties are common
		out = append(out, d)
	}
	return out
}

// Whatever is asked and shown: scores lie in [0, 1], the soft one is 1 exactly
// where the strict one is, and the order of the detections does not matter.
func TestGenEvalProperties(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 4))
	const rounds = 4000
	perfect := 0
	for range rounds {
		p, s := asked(randomTask(r)), randomScene(r)
		strict := scoreOne(t, NewGenEval("g", s, GenEvalRules{}), p)
		soft := scoreOne(t, NewGenEvalSoft("g", s, GenEvalRules{}), p)
		if strict.Err != nil || soft.Err != nil {
			t.Fatalf("%s: %v, %v", p.Metadata, strict.Err, soft.Err)
		}
		if !(0 <= soft.Score && soft.Score <= 1) || strict.Score != 0 && strict.Score != 1 {
			t.Fatalf("%s, %v: strict %v, soft %v", p.Metadata, s, strict.Score, soft.Score)
		}
		if (soft.Score == 1) != (strict.Score == 1) {
			t.Fatalf("%s, %v: strict %v but soft %v", p.Metadata, s, strict.Score, soft.Score)
		}
		if strict.Score == 1 {
			perfect++
		}
		shuffled := append(scene(nil), s...)
		r.Shuffle(len(s), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		if again := scoreOne(t, NewGenEvalSoft("g", shuffled, GenEvalRules{}), p); fmt.Sprint(again) != fmt.Sprint(soft) {
			t.Fatalf("%s: %v for %v, %v for %v", p.Metadata, soft, s, again, shuffled)
		}
	}
	if perfect < rounds/40 {
		t.Errorf("only %d of %d scenes were right: the test proves little", perfect, rounds)
	}
}

// Two objects in one place with one confidence: some order must hold all the same.
func TestGenEvalTies(t *testing.T) {
	t.Parallel()
	red, blue := at("cross", "red", 0, 0), at("cross", "blue", 0, 0)
	a := scoreOne(t, NewGenEval("g", scene{red, blue}, GenEvalRules{}), asked(redCross))
	b := scoreOne(t, NewGenEval("g", scene{blue, red}, GenEvalRules{}), asked(redCross))
	if a.Score != b.Score {
		t.Errorf("red first: %v, blue first: %v", a.Score, b.Score)
	}
}

func FuzzGenEval(f *testing.F) {
	for _, m := range []string{oneCircle, both, three, redCross, leftSquare, twoColors, everything} {
		f.Add([]byte(m))
	}
	s := scene{at("circle", "red", 0, 0), at("square", "blue", 20, 0), at("star", "red", 0, 20)}
	f.Fuzz(func(t *testing.T, metadata []byte) {
		p := task.Prompt{Metadata: metadata}
		strict := scoreOne(t, NewGenEval("g", s, GenEvalRules{}), p)
		soft := scoreOne(t, NewGenEvalSoft("g", s, GenEvalRules{}), p)
		if (strict.Err == nil) != (soft.Err == nil) || !(0 <= soft.Score && soft.Score <= 1) || (soft.Score == 1) != (strict.Score == 1) {
			t.Fatalf("%s: strict %v, soft %v", metadata, strict, soft)
		}
		if e := (*Failure)(nil); strict.Err != nil && (!errors.As(strict.Err, &e) || e.Reason != BadPrompt) {
			t.Fatalf("%s: %v", metadata, strict.Err)
		}
	})
}
