package eval

import (
	"image/color"
	"os"
	"testing"

	"flowgrpo/task"
)

// TestWriteSamples writes pictures as a run does and reads them back as a report
// does.
func TestWriteSamples(t *testing.T) {
	imgs := scenes(6, 0)
	var rows []Row
	for i := range imgs {
		rows = append(rows, Row{Prompt: uint32(i / 2), Text: "p", Sample: i % 2, Reward: 1, Judge: NaN()})
	}
	set, kept := NewSampleSet(50, ModeScore{Mode: ODE40, Rows: rows}, imgs, 2, 1)
	if len(set.Samples) != 2 || set.Samples[1].Prompt != 1 || &kept[1].Pix[0] != &imgs[2].Pix[0] {
		t.Fatalf("chosen: %+v", set.Samples)
	}
	dir := t.TempDir()
	if err := WriteSamples(dir+"/"+SampleDir(50), set, kept); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/run.json", []byte(`{"name":"r"}`), 0o644); err != nil {
		t.Fatal(err)
	}
	r, err := FromRun(os.DirFS(dir))
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Samples) != 1 || r.Samples[0].Iteration != 50 || len(r.Samples[0].Samples[1].PNG) == 0 ||
		r.Samples[0].Samples[0].Judge.Known() {
		t.Errorf("read back %+v", r.Samples)
	}
	if _, err := os.Stat(dir + "/" + SampleDir(50) + "/grid.png"); err != nil {
		t.Error(err)
	}
}

func TestGrid(t *testing.T) {
	imgs := make([]task.Image, 3)
	for i := range imgs {
		imgs[i] = task.NewImage(1, 4, 6)
	}
	imgs[2].Set(0, 5, 3, 1) // the last pixel of the third picture is white
	g := Grid(imgs, 2, 2)
	if got := g.Rect.Size(); got.X != 2*12+2 || got.Y != 2*8+2 {
		t.Errorf("size %v", got)
	}
	if got := g.NRGBAAt(11, 17); got != (color.NRGBA{255, 255, 255, 255}) {
		t.Errorf("white pixel is %v", got)
	}
	if g.NRGBAAt(12, 0).A != 0 || g.NRGBAAt(20, 15).A != 0 {
		t.Error("gap and missing picture must be transparent")
	}
	if g := Grid(nil, 2, 2); g.Rect.Empty() {
		t.Error("an empty grid is not a picture")
	}
}
