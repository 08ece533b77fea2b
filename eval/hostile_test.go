package eval

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"image"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/net/html"
)

// payloads returns texts that run scripts, load something or change the page where they are
// not escaped for where they stand: ways out of a context, and what may follow.
func payloads() []string {
	ends := []string{"", `"`, `'`, "`", `">`, `'>`, `-->`, `]]>`, `</title>`, `</style>`, `</code></pre>`, `</text></svg>`, "\u0000\">", "\\\""}
	bodies := []string{
		`<script>alert(1)</script>`, `<img src=x onerror=alert(1)>`, `<svg/onload=alert(1)>`, `<svg><script href="data:,alert(1)"/></svg>`,
		` onmouseover=alert(1) x=`, ` style=background:url(//evil.example/) `, `<a href="javascript:alert(1)">x</a>`,
		`<iframe srcdoc="<script>alert(1)</script>">`, `<base href="//evil.example/">`, `<meta http-equiv="refresh" content="0;url=//evil.example/">`,
		`<link rel=stylesheet href=//evil.example/>`, `<style>@import "//evil.example/"</style>`, `<form action=//evil.example/><button>`,
		`<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>`, `<foreignObject><body onload=alert(1)></foreignObject>`,
		`<animate attributeName=href to=javascript:alert(1)>`, `&lt;script&gt;alert(1)&lt;/script&gt;`, `&#x3c;img src=x onerror=alert(1)&#x3e;`,
		`{{.Config}}{{template "picture" .}}`, `<!--`, `<![CDATA[`, `<plaintext>`, `<textarea>`,
	}
	var out []string
	for _, end := range ends {
		for _, body := range bodies {
			out = append(out, end+body)
		}
	}
	return append(out, "\u202e\u2066evil", "\x1b]0;evil\a", strings.Repeat("<b>", 500), strings.Repeat("W", 5000))
}

// hostileRun returns a run folder in which every text is that of a place, as text says.
func hostileRun(t *testing.T, text func(place string) string) fstest.MapFS {
	t.Helper()
	folder := fstest.MapFS{"config.toml": {Data: []byte(text("config"))}}
	put := func(name string, v any) {
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		folder[name] = &fstest.MapFile{Data: data}
	}
	picture, err := EncodePNG(image.NewGray(image.Rect(0, 0, 2, 2)))
	if err != nil {
		t.Fatal(err)
	}
	var evals []Evaluation
	var lines []byte
	for i := range 3 {
		lines = Metrics{KeyIteration: Number(i), KeyRewardMean: 0.5, RewardKey(text("reward")): Number(i), RewardKey(text("other reward")): 1}.AppendJSON(lines)
		e := Evaluation{Iteration: i, Weights: text("weights")}
		set := SampleSet{Iteration: i, Mode: text("mode")}
		for p := range 4 {
			row := Row{Prompt: uint32(p / 2), Text: text(fmt.Sprint("prompt ", p/2)), Category: text(fmt.Sprint("category ", p/2)), Sample: p % 2,
				Reward: Number(i+p) / 8, Judge: 0.5, Rewards: map[string]Number{text("reward"): 0.5}}
			if p == 3 {
				row.Reward, row.Error = NaN(), text("error")
			}
			file := fmt.Sprintf("prompt-%d.png", p)
			set.Samples = append(set.Samples, Sample{Prompt: row.Prompt, Text: row.Text, Category: row.Category, Sample: row.Sample, File: file, Reward: row.Reward})
			folder[SampleDir(i)+"/"+file] = &fstest.MapFile{Data: picture}
			e.Modes = append(e.Modes, ModeScore{})
			e.Modes[0].Rows = append(e.Modes[0].Rows, row)
		}
		rows := e.Modes[0].Rows
		e.Modes = nil
		for _, mode := range []string{"headline", "other mode"} {
			score := Summarize(rows, nil, Options{Resamples: 2})
			e.Modes = append(e.Modes, ModeScore{Mode: Mode{Name: text(mode), Steps: 4}, Score: score, Rows: rows, KL: NaN()})
		}
		put(EvaluationFile(i), e)
		put(SampleDir(i)+"/samples.json", set)
		evals = append(evals, e)
	}
	folder["metrics.jsonl"] = &fstest.MapFile{Data: lines}
	put("result.json", Result{Task: text("task"), Base: NewOutcome(evals[0]), Tuned: NewOutcome(evals[2]), Gain: Gains(evals[0], evals[2], Options{Resamples: 2}),
		Warnings: []Warning{{text("warning"), 1, text("message")}, {text("other warning"), 2, text("other message")}}})
	put("run.json", RunInfo{Name: text("name"), Task: text("task"), State: text("state"), Version: text("version"), Revision: text("revision"),
		Command: []string{text("program"), text("argument")}, Environment: map[string]string{text("variable"): text("value")}, Error: text("error")})
	return folder
}

func renderedRun(t *testing.T, text func(place string) string) []byte {
	t.Helper()
	r, err := FromRun(hostileRun(t, text))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := WriteHTML(&b, r); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// skeleton returns the elements of a page with the names of their attributes, in order and
// with their depth, and all text outside of style sheets.
func skeleton(t *testing.T, page []byte) (elements []string, text string) {
	t.Helper()
	root, err := html.Parse(bytes.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	var words strings.Builder
	var walk func(n *html.Node, depth int)
	walk = func(n *html.Node, depth int) {
		switch n.Type {
		case html.ElementNode:
			element := fmt.Sprint(depth, " ", n.Namespace, n.Data)
			for _, a := range n.Attr {
				element += " " + a.Key
				checkAttribute(t, n.Data, a)
			}
			elements = append(elements, element)
		case html.TextNode:
			if n.Parent.Data != "style" {
				words.WriteString(n.Data)
			} else if strings.Contains(n.Data, "url(") || strings.Contains(n.Data, "@import") {
				t.Errorf("a style sheet loads something: %.200s", n.Data)
			}
		case html.CommentNode:
			t.Errorf("a comment: %.200s", n.Data)
		}
		for child := range n.ChildNodes() {
			walk(child, depth+1)
		}
	}
	walk(root, 0)
	return elements, words.String()
}

// fetching are the attributes of HTML and SVG that make a reader load, send or go somewhere.
var fetching = []string{"src", "srcset", "href", "data", "poster", "background", "action", "formaction", "ping", "manifest", "cite", "srcdoc", "code", "codebase", "archive", "profile", "usemap", "longdesc", "classid"}

// checkAttribute fails if an attribute runs or loads something.
func checkAttribute(t *testing.T, element string, a html.Attribute) {
	t.Helper()
	switch {
	case strings.HasPrefix(a.Key, "on"):
		t.Errorf("<%s %s=%q>", element, a.Key, a.Val)
	case slices.Contains(fetching, a.Key) && (element != "img" || !strings.HasPrefix(a.Val, "data:image/png;base64,")):
		t.Errorf("<%s %s=%q> loads something", element, a.Key, a.Val)
	case a.Key == "style" && (strings.Contains(a.Val, "(") || strings.Contains(a.Val, "\\")):
		t.Errorf("<%s style=%q>", element, a.Val)
	}
}

// TestHostileTexts: whatever is in a run's files, the page has the elements and attributes of
// that of a harmless run, and shows the text.
func TestHostileTexts(t *testing.T) {
	t.Parallel()
	want, shown := skeleton(t, renderedRun(t, func(place string) string { return "harmless " + place }))
	if len(want) < 300 || !strings.Contains(strings.Join(want, "\n"), "svgpath class d") {
		t.Fatalf("the harmless page has %d elements, or no chart", len(want))
	}
	for _, place := range []string{"name", "task", "state", "prompt 1", "category 1", "other reward", "other mode", "other warning", "other message", "program", "argument", "variable", "value", "version", "config"} {
		if !strings.Contains(shown, "harmless "+place) {
			t.Errorf("the harmless page does not show the %s", place)
		}
	}
	all := payloads()
	if len(all) < 300 {
		t.Fatalf("%d payloads", len(all))
	}
	for _, payload := range all {
		got, shown := skeleton(t, renderedRun(t, func(place string) string { return payload + place }))
		if !slices.Equal(got, want) {
			i := 0
			for i < min(len(got), len(want)) && got[i] == want[i] {
				i++
			}
			t.Errorf("%.80q: %d elements, want %d; number %d is %q", payload, len(got), len(want), i, got[min(i, len(got)-1)])
		}
		if !strings.ContainsAny(payload, "\x00\x1b") && !strings.Contains(shown, payload+"prompt 1") {
			t.Errorf("%.80q: the prompt is not shown", payload)
		}
	}
}

// TestPagePolicy: the page forbids scripts and the network before anything else.
func TestPagePolicy(t *testing.T) {
	t.Parallel()
	const policy = `<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">`
	if page := renderedRun(t, func(place string) string { return place }); !bytes.Contains(page, []byte("<head>\n"+policy)) {
		t.Errorf("the page begins with %.300s", page)
	}
}

// TestHostileCharts: a chart as a file of its own is XML with the elements of a harmless one.
func TestHostileCharts(t *testing.T) {
	t.Parallel()
	files := func(text string) [][]byte {
		chart := Chart{Title: text, Note: text, XLabel: text, Unit: text, Series: []Series{{Name: text, X: []float64{0, 1}, Y: []float64{0, 1}}}}
		page := comparisonOf(text)
		return [][]byte{chart.SVG(), []byte(chart.inline()), page}
	}
	want := files("harmless")
	for _, payload := range payloads() {
		for i, svg := range files(payload) {
			if got, want := elementsOf(t, svg), elementsOf(t, want[i]); !slices.Equal(got, want) {
				t.Errorf("%.80q: file %d has the elements %v, want %v", payload, i, got, want)
			}
		}
	}
}

// comparisonOf returns the picture of a comparison with an arm of that label.
func comparisonOf(label string) []byte {
	point := func(i int) Measurement {
		return Measurement{Point: Point{Iteration: i, Reward: Number(i) / 4, Judge: 0.5, Frechet: 1, Diversity: 1}, Mode: ODE40, Prompts: 1, PerPrompt: 1}
	}
	course := Course{Run: RunInfo{Name: label}, Iterations: 2, Points: []Measurement{point(0), point(1), point(2)}}
	picture, err := Compare([]Arm{{Label: label, Runs: []Course{course}}}).SVG()
	if err != nil {
		panic(err)
	}
	return picture
}

// elementsOf returns the elements of XML with the names of their attributes.
func elementsOf(t *testing.T, svg []byte) (elements []string) {
	t.Helper()
	d := xml.NewDecoder(bytes.NewReader(svg))
	for {
		token, err := d.Token()
		if err == io.EOF {
			return elements
		}
		if err != nil {
			t.Fatalf("not XML: %v\n%.2000s", err, svg)
		}
		if e, ok := token.(xml.StartElement); ok {
			element := e.Name.Local
			for _, a := range e.Attr {
				element += " " + a.Name.Local
			}
			elements = append(elements, element)
		}
	}
}
