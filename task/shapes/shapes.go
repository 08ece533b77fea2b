// Package shapes is the composition world: coloured shapes on a neutral ground,
// asked for in the six tasks and the metadata format of GenEval.
//
// A picture is RGB, 24 by 24, with one to four objects on a light grey ground.
// An object is one of five classes in one of six colours, anti-aliased, in a box of
// 8 by 8 pixels on the pixel grid. Objects stand in the middle of the cells of a 2 by
// 2 grid, in the order in which the caption names them: left to right, then top to
// bottom; two that the caption relates share the top row or the left column. So the
// boxes of two objects stay apart.
//
// [World] renders pictures, [NewDetector] reads them for a reward, and [NewJudge]
// reads them by another method for evaluation only.
//
// # Tasks
//
//	tag            caption                                       metadata
//	single_object  a photo of a ring                             include 1
//	two_object     a photo of a circle and a square              include 1 + 1
//	counting       a photo of three crosses                      include 3, exclude 4
//	colors         a photo of a red cross                        include 1, color
//	position       a photo of a circle left of a square          second of include has position
//	color_attr     a photo of a red circle and a blue square     include 1 + 1, colors
//
// What a caption leaves open (colours, cells, the ground) a rendering draws at
// random.
//
// # What is held out
//
// Some pairs of classes, some colours of a class and some counts of a class are
// asked for by no training prompt, whatever the task. A held-out prompt that asks
// for one of them carries "heldout_combination": true in its metadata. The other
// held-out prompts ask for known combinations in a text that training does not use,
// except in single_object and counting, whose few texts are shared: there all 48 and
// 28 of the 48 held-out prompts are texts that are trained on. So the figure for what
// fine-tuning never saw is that of the prompts with held-out combinations.
//
// Held out means from fine-tuning, as in Flow-GRPO's test on classes that its
// training prompts lack: pretraining, [World.Example], draws every combination.
//
// # Captions with errors
//
// [World.Miscaption] draws pictures whose captions are partly wrong, for a base model
// that draws well and does not quite do what it is told.
package shapes

import (
	"encoding/json"

	"flowgrpo/internal/rng"
	"flowgrpo/task"
)

// The size of every picture.
const (
	channels = 3
	height   = 24
	width    = 24
)

// World is the composition world. It is immutable and safe for concurrent use.
type World struct {
	corpus [tasks][]request // every request, by task
	train  []task.Prompt
	held   []task.Prompt
}

var _ task.World = (*World)(nil)

// New returns the world. Every call returns an equal one.
func New() *World {
	w := &World{}
	var train [tasks][]request
	var held [tasks]heldOut
	for t := range tasks {
		w.corpus[t] = enumerate(t)
		train[t], held[t] = split(w.corpus[t], t)
	}
	w.train = trainPrompts(train)
	w.held = heldOutPrompts(held)
	return w
}

// Name returns "shapes".
func (w *World) Name() string { return "shapes" }

// Shape returns 3, 24, 24.
func (w *World) Shape() (c, h, wd int) { return channels, height, width }

// Prompts returns the prompts of a split as a fresh slice: 980 to train on,
// more of what is hard, and 288 held out, 48 of each task (28 of known and 20
// of held-out combinations, but for single_object, which has none). Those of known
// ones in single_object and counting are texts of the training set. A text may occur
// under several IDs. The first 6·n held-out prompts have n of each task.
func (w *World) Prompts(s task.Split) []task.Prompt {
	if s == task.Train {
		return append([]task.Prompt(nil), w.train...)
	}
	return append([]task.Prompt(nil), w.held...)
}

// Example draws a caption, each task with the same probability, and a picture
// of it. Captions of held-out prompts are among them. It panics if img is not 3 by 24 by 24.
func (w *World) Example(key rng.Key, img task.Image) task.Prompt {
	r := key.Rand()
	pool := w.corpus[r.IntN(int(tasks))]
	req := &pool[r.IntN(len(pool))]
	paint(img, compose(r, req), r)
	return req.prompt
}

// Render draws a picture of p into img. It panics if img is not 3 by 24 by 24
// or if p's metadata is not a request for classes and colours of this world.
func (w *World) Render(p task.Prompt, key rng.Key, img task.Image) {
	var rec record
	if json.Unmarshal(p.Metadata, &rec) != nil {
		panic("shapes: prompt has no valid metadata")
	}
	req, ok := rec.request()
	if !ok {
		panic("shapes: prompt asks for what this world does not have")
	}
	r := key.Rand()
	paint(img, compose(r, &req), r)
}
