package run

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"flowgrpo/eval"
	"flowgrpo/internal/atomicfile"
	"flowgrpo/internal/rng"
	"flowgrpo/task"
	"flowgrpo/task/glyphs"
	"flowgrpo/task/shapes"
)

// Worlds are the names of the self-contained worlds.
var Worlds = []string{"glyphs", "shapes"}

// DrawFolder writes n real pictures of a world with their captions to dir, in the
// layout that pretraining reads: PNG files and a metadata.jsonl.
func DrawFolder(dir, world string, n int, seed int64) error {
	var w task.World
	switch world {
	case "glyphs":
		w = glyphs.New()
	case "shapes":
		w = shapes.New()
	default:
		return setup(fmt.Errorf("no world %q; there are %v", world, Worlds))
	}
	if err := CheckFresh(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	c, height, width := w.Shape()
	img := task.NewImage(c, height, width)
	var lines bytes.Buffer
	for i := range n {
		p := w.Example(rng.Key{Seed: seed, Purpose: rng.Data, Sample: uint32(i)}, img)
		name := fmt.Sprintf("%05d.png", i+1)
		data, err := eval.EncodePNG(img.NRGBA())
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			return err
		}
		line, err := json.Marshal(map[string]string{"file_name": name, "text": p.Text})
		if err != nil {
			return err
		}
		lines.Write(append(line, '\n'))
	}
	return atomicfile.WriteBytes(filepath.Join(dir, "metadata.jsonl"), lines.Bytes())
}
