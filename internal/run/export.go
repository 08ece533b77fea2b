package run

import (
	"bytes"
	"embed"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	"flowgrpo/eval"
	"flowgrpo/internal/atomicfile"
	"flowgrpo/internal/config"
	"flowgrpo/internal/display"
	"flowgrpo/internal/shell"
	"flowgrpo/policy"
)

// A Format is a form in which a result can be exported.
type Format string

// The formats. For a run that trains all weights, Diffusers and Merged are the
// same and there is no PEFT.
const (
	Diffusers Format = "diffusers" // model folder; a LoRA run's has the base weights and the adapter beside them
	PEFT      Format = "peft"      // the adapter alone
	Merged    Format = "merged"    // model folder with the adapter folded in
)

// export writes export/ of the run: the moving average as model folder with
// merged weights, the adapter if there is one, and a model card.
func (r *trainRun) export(result eval.Result) error {
	root := r.folder.path("export")
	if err := os.RemoveAll(root); err != nil { // of an earlier start
		return err
	}
	if err := os.MkdirAll(root, 0o755); err != nil {
		return err
	}
	ema := r.trainer.EMA.Average
	if err := r.session.write(filepath.Join(root, string(Merged)), Merged, ema, r.folder.info.Name); err != nil {
		return err
	}
	if ema.Adapter != nil {
		if err := r.session.write(filepath.Join(root, string(PEFT)), PEFT, ema, r.folder.info.Name); err != nil {
			return err
		}
	}
	card, err := modelCard(r.folder.info, result, r.session.Config)
	if err != nil {
		return err
	}
	return atomicfile.WriteBytes(filepath.Join(root, "README.md"), card)
}

// write saves theta to dir, which must not exist. The scheduler of a model folder has the
// shift that the run drew with, whatever its base had.
func (s *Session) write(dir string, format Format, theta policy.Theta, name string) error {
	m := *s.Model
	m.Shift = shift(s.Config.Rollout, m.Network)
	o := policy.SaveOptions{Metadata: map[string]string{"run": name}}
	switch {
	case format == Merged, format == Diffusers && theta.Adapter == nil:
		return policy.Save(dir, &m, theta, o)
	case format == PEFT && theta.Adapter == nil:
		return setup(fmt.Errorf("there is no adapter to export: the run trained all weights, or this is its base; use --format %s", Merged))
	case format == PEFT:
		return policy.SaveAdapter(dir, &m, theta, o)
	case format == Diffusers:
		if err := policy.Save(dir, &m, policy.Theta{Base: theta.Base}, o); err != nil {
			return err
		}
		return policy.SaveAdapter(filepath.Join(dir, "adapter"), &m, theta, o)
	}
	return setup(fmt.Errorf("unknown format %q; there are %s, %s and %s", format, Diffusers, PEFT, Merged))
}

//go:embed card.md
var cardFile embed.FS

var cardTemplate = template.Must(template.New("card.md").Funcs(template.FuncMap{
	"figure":  func(n eval.Number) string { return n.Text("%.3f") },
	"of":      eval.Figure,
	"gain":    gained,
	"command": shell.Line,
	"text":    display.Markdown,
	"fenced":  fenced,
}).ParseFS(cardFile, "card.md"))

// gained returns a gain of result with its interval, a dash if it was not measured.
func gained(result eval.Result, key string) string {
	g, ok := result.Gain[key]
	if !ok {
		return "–"
	}
	text := g.Mean.Text("%+.3f")
	if g.Interval[0].Known() {
		text += fmt.Sprintf(" (95 %%: %s to %s)", g.Interval[0].Text("%+.3f"), g.Interval[1].Text("%+.3f"))
	}
	return text
}

// fenced returns text as a block of code in a language. The fence is longer than any in it.
func fenced(language, text string) string {
	fence := "```"
	for strings.Contains(text, fence) {
		fence += "`"
	}
	return fence + language + "\n" + strings.TrimRight(display.Text(text), "\n") + "\n" + fence
}

// modelCard returns the README.md of an export.
func modelCard(info eval.RunInfo, result eval.Result, c *config.Config) ([]byte, error) {
	values, err := config.Encode(c)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = cardTemplate.Execute(&b, struct {
		Info   eval.RunInfo
		Result eval.Result
		LoRA   bool
		Config string
	}{info, result, c.Train.Mode == "lora", string(values)})
	return b.Bytes(), err
}
