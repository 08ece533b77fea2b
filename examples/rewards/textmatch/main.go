// Command textmatch is the built-in reward "text" as a program of its own: it reads the
// sign and compares what it reads with what was asked for.
//
//	[reward.text]
//	kind = "exec"
//	command = ["./textmatch"]
package main

import (
	"context"

	"flowgrpo/reward"
	"flowgrpo/reward/plugin"
	"flowgrpo/task"
	"flowgrpo/task/glyphs"
)

func main() {
	plugin.Main(textMatch{reward.NewTextMatch("text", glyphs.NewReader())})
}

type textMatch struct{ inner *reward.TextMatch }

// Info implements plugin.Reward.
func (textMatch) Info() plugin.Info {
	return plugin.Info{Name: "text", Version: "1", Image: plugin.Float32, Deterministic: true, MaxScore: 1}
}

// Score implements plugin.Reward.
func (t textMatch) Score(ctx context.Context, batch []plugin.Sample) ([]plugin.Result, error) {
	samples := make([]reward.Sample, len(batch))
	for i, s := range batch {
		samples[i] = reward.Sample{
			Prompt: task.Prompt{Text: s.Prompt, Metadata: s.Metadata},
			Image:  task.Image{C: s.Image.C, H: s.Image.H, W: s.Image.W, Pix: s.Image.Pix},
		}
	}
	scored, err := t.inner.Score(ctx, samples)
	if err != nil {
		return nil, err
	}
	results := make([]plugin.Result, len(batch))
	for i, r := range scored {
		results[i] = plugin.Result{Score: r.Score, Parts: r.Parts, Err: r.Err}
	}
	return results, nil
}
