package eval

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/draw"
	"image/png"
	"os"
	"path/filepath"
	"time"

	"flowgrpo/internal/atomicfile"
	"flowgrpo/task"
)

// RunInfo is the file run.json of a run folder.
type RunInfo struct {
	Name          string             `json:"name"`
	Task          string             `json:"task"`
	State         string             `json:"state"` // created, running, stopped, failed or done
	PID           int                `json:"pid"`
	Version       string             `json:"version"`
	Revision      string             `json:"revision"`
	Seed          int64              `json:"seed"`
	Iterations    int                `json:"iterations"`     // planned
	BestIteration int                `json:"best_iteration"` // with the highest held-out reward on the way; its checkpoint is kept
	Command       []string           `json:"command"`        // program and arguments, as given
	Started       time.Time          `json:"started,omitzero"`
	Ended         time.Time          `json:"ended,omitzero"`
	Seconds       float64            `json:"seconds"`               // of work, pauses excluded
	Environment   map[string]string  `json:"environment,omitempty"` // such as "go", "cpu", "os"
	Error         string             `json:"error,omitempty"`       // why it failed
	Average       Average            `json:"average"`               // of the headline reward
	Limits        Limits             `json:"limits,omitzero"`       // of the monitor; zero: DefaultLimits
	Weights       map[string]float64 `json:"weights,omitempty"`     // of the rewards that training asks, by name
}

// A SampleSet is the file samples.json of one folder of pictures. The same prompts
// and noise appear in the set of every iteration.
type SampleSet struct {
	Iteration int      `json:"iteration"` // 0 is the base
	Mode      string   `json:"mode"`
	Samples   []Sample `json:"samples"`
}

// A Sample is one picture of a SampleSet.
type Sample struct {
	Prompt   uint32 `json:"prompt_id"`
	Text     string `json:"prompt"`
	Category string `json:"category,omitempty"`
	Sample   int    `json:"sample"`
	File     string `json:"file"` // PNG beside samples.json
	Reward   Number `json:"reward"`
	Judge    Number `json:"judge"`
	PNG      []byte `json:"-"` // the file, once read
}

// NewSampleSet pairs rows with their pictures, for the first prompts of an
// evaluation and the first samples of each.
func NewSampleSet(iteration int, m ModeScore, images []task.Image, prompts, perPrompt int) (SampleSet, []task.Image) {
	set := SampleSet{Iteration: iteration, Mode: m.Mode.Name}
	var kept []task.Image
	for i, g := range groupRows(m.Rows) {
		if i == prompts {
			break
		}
		for j, r := range g.rows[:min(perPrompt, len(g.rows))] {
			set.Samples = append(set.Samples, Sample{Prompt: r.Prompt, Text: r.Text, Category: r.Category,
				Sample: r.Sample, File: fmt.Sprintf("prompt-%05d-%d.png", r.Prompt, r.Sample),
				Reward: r.Reward, Judge: r.Judge})
			kept = append(kept, images[g.first+j])
		}
	}
	return set, kept
}

// SampleDir is the folder of an iteration's pictures within a run folder.
func SampleDir(iteration int) string { return fmt.Sprintf("samples/iter-%06d", iteration) }

// EvaluationFile is the path of an evaluation within a run folder.
func EvaluationFile(iteration int) string { return fmt.Sprintf("eval/iter-%06d.json", iteration) }

// WriteSamples writes every picture, grid.png and samples.json, in this order,
// to dir, which it creates. samples.json appears complete or not at all.
func WriteSamples(dir string, set SampleSet, images []task.Image) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("eval: %w", err)
	}
	write := func(name string, data []byte, err error) error {
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), data, 0o644)
		}
		if err != nil {
			return fmt.Errorf("eval: writing %s: %w", name, err)
		}
		return nil
	}
	for i, s := range set.Samples {
		data, err := EncodePNG(images[i].NRGBA())
		if err := write(s.File, data, err); err != nil {
			return err
		}
	}
	data, err := EncodePNG(Grid(images, 8, 3))
	if err := write("grid.png", data, err); err != nil {
		return err
	}
	if data, err = json.MarshalIndent(set, "", "  "); err == nil {
		err = atomicfile.WriteBytes(filepath.Join(dir, "samples.json"), data)
	}
	if err != nil {
		return fmt.Errorf("eval: %w", err)
	}
	return nil
}

// EncodePNG returns img as a PNG file.
func EncodePNG(img image.Image) ([]byte, error) {
	var b bytes.Buffer
	enc := png.Encoder{CompressionLevel: png.BestCompression}
	err := enc.Encode(&b, img)
	return b.Bytes(), err
}

// Grid lays pictures of one size out in rows of cols, each pixel scale×scale
// large, with a gap of scale pixels that is transparent.
func Grid(images []task.Image, cols, scale int) *image.NRGBA {
	if len(images) == 0 {
		return image.NewNRGBA(image.Rect(0, 0, 1, 1))
	}
	cols = min(cols, len(images))
	rows := (len(images) + cols - 1) / cols
	w, h := images[0].W*scale, images[0].H*scale
	out := image.NewNRGBA(image.Rect(0, 0, cols*(w+scale)-scale, rows*(h+scale)-scale))
	for i, img := range images {
		at := image.Pt(i%cols*(w+scale), i/cols*(h+scale))
		draw.Draw(out, image.Rectangle{at, at.Add(image.Pt(w, h))}, enlarge(img.NRGBA(), scale), image.Point{}, draw.Src)
	}
	return out
}

// enlarge repeats every pixel scale×scale times.
func enlarge(src *image.NRGBA, scale int) *image.NRGBA {
	b := src.Bounds()
	dst := image.NewNRGBA(image.Rect(0, 0, b.Dx()*scale, b.Dy()*scale))
	for y := range dst.Rect.Max.Y {
		for x := range dst.Rect.Max.X {
			dst.SetNRGBA(x, y, src.NRGBAAt(x/scale, y/scale))
		}
	}
	return dst
}
