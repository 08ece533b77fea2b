package eval

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
)

func TestWriteHTML(t *testing.T) {
	r, err := FromRun(finishedRun())
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := WriteHTML(&b, r); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	writeForReview(t, "report.html", b.Bytes())
	if strings.Contains(page, "<script") || strings.Contains(page, "<img src=x") || strings.Contains(page, "ZgotmplZ") {
		t.Error("text of the run became markup")
	}
	for _, want := range []string{"default-src &#39;none&#39;", "glyphs-lively-otter", "Before and after", "By category",
		"Every sampler", "Over the course of training", "viewport", "data:image/png;base64,", "&lt;script&gt;", "grpo.kl=0.02"} {
		if !strings.Contains(page, want) && !strings.Contains(page, strings.ReplaceAll(want, "&#39;", "'")) {
			t.Errorf("the page has no %q", want)
		}
	}
	page = regexp.MustCompile(`base64,[A-Za-z0-9+/=&#;]+`).ReplaceAllString(page, "")
	for _, bad := range []string{"http://", "https://", "NaN", "Inf", "<no value>", "%!"} {
		if strings.Contains(page, bad) {
			t.Errorf("the page contains %q", bad)
		}
	}
	const limit = 2 << 20 // a page that can be mailed
	if b.Len() > limit {
		t.Errorf("the page has %d bytes", b.Len())
	}
}

// TestReportSaysHowManyPictures: curves and result are of as many pictures as the page says,
// and it says so twice only where these are two numbers.
func TestReportSaysHowManyPictures(t *testing.T) {
	r, err := FromRun(finishedRun())
	if err != nil {
		t.Fatal(err)
	}
	n := len(r.Evaluations[0].Modes[0].Rows)
	for _, full := range []int{n, 2 * n} {
		r.Result.Base.Samples = full
		var b bytes.Buffer
		if err := WriteHTML(&b, r); err != nil {
			t.Fatal(err)
		}
		page := b.String()
		if want := fmt.Sprintf("ODE, %d pictures of held-out prompts,", full); !strings.Contains(page, want) {
			t.Errorf("the page has no %q", want)
		}
		note := fmt.Sprintf("Evaluations along the way draw %d pictures, those of the result %d:", n, full)
		if strings.Contains(page, note) != (full != n) {
			t.Errorf("of %d and %d pictures, that the page says %q is %v", n, full, note, full == n)
		}
	}
}

// TestReportOfPart writes reports of runs that miss files: a report is possible at
// any time.
func TestReportOfPart(t *testing.T) {
	whole := finishedRun()
	for _, missing := range []string{"result.json", "metrics.jsonl", "config.toml", "eval/", "samples/", "everything"} {
		part := fstest.MapFS{}
		for name, f := range whole {
			if name == "run.json" || missing != "everything" && !strings.HasPrefix(name, missing) {
				part[name] = f
			}
		}
		r, err := FromRun(part)
		if err != nil {
			t.Errorf("without %s: %v", missing, err)
			continue
		}
		if err := WriteHTML(io.Discard, r); err != nil {
			t.Errorf("without %s: %v", missing, err)
		}
		if missing == "result.json" && r.Result == nil {
			t.Error("a run without result.json has no interim result")
		}
	}
}

// TestInterimJudgesAsTheRun: a run that has not ended is averaged and held to limits
// as its run.json says, in warnings, gains, cards and charts.
func TestInterimJudgesAsTheRun(t *testing.T) {
	part := maps.Clone(finishedRun())
	delete(part, "result.json")
	strict := DefaultLimits()
	strict.Frechet = 1e-3 // in multiples of the base's: no training can reach it
	info, err := json.Marshal(RunInfo{Average: OverCategories, Limits: strict})
	if err != nil {
		t.Fatal(err)
	}
	part["run.json"] = &fstest.MapFile{Data: info}
	r, err := FromRun(part)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Warnings) != 1 || r.Warnings[0].Name != FrechetRises {
		t.Errorf("warnings %v, want %s alone", r.Warnings, FrechetRises)
	}
	base, last := r.Evaluations[0], r.Evaluations[len(r.Evaluations)-1]
	want := Gains(base, last, Options{Average: OverCategories})["reward"].Mean
	if got := r.Result.Gain["reward"].Mean; got != want || want == Gains(base, last, Options{})["reward"].Mean {
		t.Errorf("gain %v, want %v, the mean over categories", got, want)
	}
	if marks := Charts(r)[1].Marks; marks[0] != strict.Frechet {
		t.Errorf("the chart of quality marks %v, want %v", marks, strict.Frechet)
	}
	if c := newView(r).Cards[2]; c.Class != "bad" {
		t.Errorf("the card %q is %q, want bad", c.Name, c.Class)
	}
}

func TestAverageText(t *testing.T) {
	for _, a := range []Average{OverSamples, OverCategories} {
		var back Average
		if text, err := a.MarshalText(); err != nil || back.UnmarshalText(text) != nil || back != a {
			t.Errorf("average %d is written as %q and read as %d (%v)", a, text, back, err)
		}
	}
	var a Average
	if _, err := Average(7).MarshalText(); err == nil || a.UnmarshalText([]byte("median")) == nil {
		t.Error("an average that does not exist is written or read")
	}
}

func TestFromRunErrors(t *testing.T) {
	whole := finishedRun()
	for _, broken := range []string{"run.json", "result.json", "metrics.jsonl", EvaluationFile(0), SampleDir(0) + "/samples.json",
		SampleDir(0) + "/prompt-00000-0.png"} {
		part := fstest.MapFS{}
		for name, f := range whole {
			part[name] = f
		}
		part[broken] = &fstest.MapFile{Data: []byte("{]\n")}
		if _, err := FromRun(part); err == nil || !strings.Contains(err.Error(), strings.TrimSuffix(broken, ".jsonl")) {
			t.Errorf("%s broken: error %v", broken, err)
		}
	}
	if _, err := FromRun(fstest.MapFS{}); err == nil {
		t.Error("an empty folder is a run")
	}
}

// TestPicturesAreBesideTheirList: samples.json cannot make the page show other files.
func TestPicturesAreBesideTheirList(t *testing.T) {
	for _, file := range []string{"../iter-000000/prompt-00000-0.png", "/etc/passwd", "a/b.png", `..\b.png`, "..", "", "."} {
		folder := maps.Clone(finishedRun())
		list, err := json.Marshal(SampleSet{Samples: []Sample{{File: file}}})
		if err != nil {
			t.Fatal(err)
		}
		folder[SampleDir(20)+"/samples.json"] = &fstest.MapFile{Data: list}
		if _, err := FromRun(folder); err == nil || !strings.Contains(err.Error(), "samples/iter-000020/samples.json: ") {
			t.Errorf("%q: error %v", file, err)
		}
	}
}

// TestMissingPicture: a picture that samples.json lists and that is not there is
// an error, not a report with fewer pictures.
func TestMissingPicture(t *testing.T) {
	folder := maps.Clone(finishedRun())
	lost := SampleDir(0) + "/prompt-00000-0.png"
	delete(folder, lost)
	if _, err := FromRun(folder); err == nil || !strings.Contains(err.Error(), lost) {
		t.Errorf("error is %v, want one that names %s", err, lost)
	}
}

// TestWarningsComeFirst checks that a hacked run says so above its result.
func TestWarningsComeFirst(t *testing.T) {
	r := Report{Run: RunInfo{Name: "hacked"}, Warnings: []Warning{{JudgeFalls, 40, "The judge fell."}},
		Result: &Result{Base: Outcome{Score: Score{Reward: 0.5, Judge: 0.5}}, Tuned: Outcome{Score: Score{Reward: 0.9, Judge: 0.2}}}}
	var b bytes.Buffer
	if err := WriteHTML(&b, r); err != nil {
		t.Fatal(err)
	}
	writeForReview(t, "hacked.html", b.Bytes())
	warning, result := strings.Index(b.String(), "The judge fell."), strings.Index(b.String(), `class="cards"`)
	if warning < 0 || result < 0 || warning > result {
		t.Errorf("warning at %d, result at %d", warning, result)
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestWriteHTMLError(t *testing.T) {
	if err := WriteHTML(brokenPipe{}, Report{}); err == nil {
		t.Error("a failed write went unnoticed")
	}
}

// wellFormed parses SVG as XML and returns the number of elements of a name.
func wellFormed(t *testing.T, svg []byte, name string) int {
	t.Helper()
	n := 0
	for d := xml.NewDecoder(bytes.NewReader(svg)); ; {
		token, err := d.Token()
		if err == io.EOF {
			return n
		}
		if err != nil {
			t.Fatalf("not XML: %v\n%s", err, svg)
		}
		if e, ok := token.(xml.StartElement); ok && e.Name.Local == name {
			n++
		}
	}
}

// TestReportOfFailedRun: the page says why a run failed and what rewards failed to score, and
// has no figures of a tuned model that was never measured.
func TestReportOfFailedRun(t *testing.T) {
	part := maps.Clone(finishedRun())
	delete(part, "result.json")
	for name := range part {
		if strings.HasPrefix(name, "eval/") && name != EvaluationFile(0) {
			delete(part, name)
		}
	}
	info, err := json.Marshal(RunInfo{State: "failed", Error: "reward \"ocr\" is gone"})
	if err != nil {
		t.Fatal(err)
	}
	part["run.json"] = &fstest.MapFile{Data: info}
	lines := Metrics{KeyIteration: 1, KeySamples: 8, KeyRewardFailed: 2, RewardFailedKey("ocr", "timed out"): 2}.AppendJSON(nil)
	lines = Metrics{KeyIteration: 2, KeySamples: 16, KeyRewardFailed: 2, RewardFailedKey("ocr", "refused"): 1, RewardFailedKey("ocr", "timed out"): 1}.AppendJSON(lines)
	part["metrics.jsonl"] = &fstest.MapFile{Data: lines}
	r, err := FromRun(part)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := WriteHTML(&b, r); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"reward &#34;ocr&#34; is gone", "none of the tuned model",
		"4 of 16 samples (25.0 %) had no reward, most often (3 times) by ocr: timed out (ocr: refused 1; ocr: timed out 3)"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	for _, c := range newView(r).Cards {
		if c.Tuned != "–" || c.Change != "–" || c.Class != "" || c.Interval != "" && c.Name != "Fréchet distance" {
			t.Errorf("the card of a model that was not measured is %+v", c)
		}
	}
}

// TestTrainingRewardChart: rewards with a weight come before others, and parts last.
func TestTrainingRewardChart(t *testing.T) {
	line := Metrics{KeyIteration: 1, KeyRewardMean: 1}
	for _, name := range []string{"a", "a/1", "a/2", "b", "c", "d", "z"} {
		line[RewardKey(name)] = 1
	}
	c := trainingReward([]Metrics{line}, map[string]float64{"a": 0, "z": 1})
	var names []string
	for _, s := range c.named() {
		names = append(names, s.Name)
	}
	if got := strings.Join(names, " "); got != "reward z a b c d" || !strings.Contains(c.Note, " 2 more ") {
		t.Errorf("the chart has %q and says %q", got, c.Note)
	}
}

// TestNoMinusZero: what rounds to zero has no sign.
func TestNoMinusZero(t *testing.T) {
	for got, want := range map[string]string{
		Number(-0.0001).Text("%.3f"): "0.000", Number(-0.0001).Text("%+.3f"): "+0.000", Number(-0.01).Text("%.3f"): "-0.010",
		NaN().Text("%.3f"): "–", signed(-5.6e-17): "0", format(-5.6e-17): "0", format(-2e-6): "-2e-6",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
