package run

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"flowgrpo/eval"
	"flowgrpo/internal/config"
	"flowgrpo/policy"
	"flowgrpo/sde"
)

// An export has the shift that its run drew with, whatever the base's was, and pictures
// are drawn with it.
func TestExportHasTheShiftOfTheRun(t *testing.T) {
	t.Parallel()
	base := tinyModel(t, "glyphs")
	for schedule, want := range map[string]float64{"uniform": 1, "shift": 2.5, "sd3": 2.5, "flux": 0} {
		s := openTiny(t, "glyphs", base, "rollout.schedule="+schedule, "rollout.shift=2.5")
		if schedule == "flux" {
			want = math.Exp(0.5 + 0.65*float64(tokens(s.Model.Network)-256)/3840)
		}
		s.Model.Shift = 7 // of the base
		dir := filepath.Join(t.TempDir(), schedule)
		if err := s.write(dir, Merged, s.Model.Theta(), "run"); err != nil {
			t.Fatal(err)
		}
		m, err := policy.Load(os.DirFS(dir))
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(m.Shift-want) > 1e-12 || s.Model.Shift != 7 {
			t.Errorf("%s: the export has shift %v, want %v; the base %v, want 7", schedule, m.Shift, want, s.Model.Shift)
		}
		checkDrawnWith(t, dir, want)
	}
}

// checkDrawnWith checks that pictures of a model folder are drawn as diffusers draws them
// with a shift.
func checkDrawnWith(t *testing.T, dir string, shift float64) {
	t.Helper()
	c := config.Default()
	target, err := OpenModel(dir, &c)
	if err != nil {
		t.Fatal(err)
	}
	want := sde.Uniform(10)
	if shift != 1 {
		want = sde.SD3(10, shift)
	}
	for i, at := range schedule(target.Config.Rollout, target.Model.Network, 10) {
		if math.Abs(at-want[i]) > 1e-12 {
			t.Fatalf("shift %g: step %d is at %v, want %v", shift, i, at, want[i])
		}
	}
	if c.Rollout.Schedule != "uniform" {
		t.Error("the caller's configuration has changed")
	}
}

// A model card has the marks of a harmless one, whatever names and values hold.
func TestHostileCard(t *testing.T) {
	t.Parallel()
	card := func(text string) string {
		c := config.Default()
		c.Model.Path = text
		figures := map[string]eval.Number{text: 0.5}
		score := eval.Score{Categories: figures, Rewards: figures, Samples: 2, Failed: 1, Failures: map[string]int{text: 1}}
		b, err := modelCard(eval.RunInfo{Name: text, Version: text, Revision: text, Command: []string{"finetune", text}}, eval.Result{
			Task: text, Base: eval.Outcome{Score: score}, Tuned: eval.Outcome{Score: score},
			Warnings: []eval.Warning{{Name: text, Message: text}},
		}, &c)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	want := marks(card("harmless"))
	if len(want) < 25 || !slices.Contains(want, "| 4") {
		t.Fatalf("the marks of the harmless card are %q", want)
	}
	for _, text := range []string{
		"```", "````\n# x", "\n```\n# x", "a\n# b", "a\n\n- b", "a | b", "| a |", "\n---\n", "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "a\n    b",
		"[x](javascript:alert(1))", "![x](//evil.example/x.png)", "`code`", "*b* _i_", "\x1b[31m", "~~~\n", "\n===\n", "&lt;b&gt;", `\`, `\|`,
	} {
		if got := marks(card(text)); !slices.Equal(got, want) {
			t.Errorf("%q: marks %q, want %q", text, got, want)
		}
	}
}

// marks returns what Markdown sees in the lines of a text that are not blank and not in a
// block of code: the first mark of a line, and the cells of a table's row.
func marks(text string) (out []string) {
	fence := ""
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		bare := strings.NewReplacer(`\\`, "", `\|`, "", "\\`", "", `\<`, "", `\[`, "", `\]`, "", `\*`, "", `\_`, "").Replace(line)
		ticks := line[:len(line)-len(strings.TrimLeft(line, "`"))]
		switch {
		case fence != "" && line == fence:
			fence, out = "", append(out, "end")
		case fence != "":
		case len(ticks) >= 3:
			fence, out = ticks, append(out, "code")
		case strings.HasPrefix(line, "|"):
			out = append(out, fmt.Sprint("| ", strings.Count(bare, "|")-1))
		case strings.HasPrefix(line, "#"), strings.HasPrefix(line, "-"), strings.HasPrefix(line, "="), strings.HasPrefix(line, " "), strings.HasPrefix(line, "~"):
			out = append(out, line[:1])
		case line != "":
			out = append(out, "text")
		}
		if fence == "" && strings.ContainsAny(bare, "<[]*`\x1b") && !strings.Contains(line, "**") && len(ticks) < 3 && !strings.HasPrefix(line, "- `") {
			out = append(out, "inline "+bare)
		}
	}
	return out
}

// An evaluation draws by the recipe, and says so where the model's scheduler differs.
func TestEvaluationSaysAnotherShift(t *testing.T) {
	t.Parallel()
	for own, want := range map[float64]string{0: "", 1: "", 3: "scheduler has a shift of 3, the recipe draws with 1"} {
		s := openTiny(t, "glyphs", tinyModel(t, "glyphs"), "eval.final=false", "eval.prompts=1")
		s.Model.Shift = own
		var p said
		target := &Target{Session: s, theta: s.base, isModel: true}
		if _, err := target.Evaluate(t.Context(), &p); err != nil {
			t.Fatal(err)
		}
		if (p.last != "") != (want != "") || !strings.Contains(p.last, want) {
			t.Errorf("shift %g: says %q, want %q", own, p.last, want)
		}
	}
}
