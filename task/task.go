// Package task holds the nouns that a fine-tuning problem is described with: what
// is asked for ([Prompt]), what came out ([Image]), who reads it ([Reader],
// [Detector]) and where real examples come from ([Source], [World]).
//
// The two self-contained worlds live below it: task/glyphs (text rendering) and
// task/shapes (composition). Nothing here knows a model, a reward or a gradient.
package task

import (
	"encoding/json"

	"flowgrpo/internal/rng"
)

// A Prompt is one request for a picture.
type Prompt struct {
	// ID identifies the prompt within its set, whatever its text: a set may have
	// several prompts of one text. Training makes a group of samples of each prompt
	// that it is dealt, so that none merge because their texts are alike.
	ID uint32 `json:"id"`
	// Text is what the text encoder sees.
	Text string `json:"prompt"`
	// Category names the row of a report that the prompt counts in, such as
	// "counting" or "4 characters"; empty means uncategorised.
	Category string `json:"category,omitempty"`
	// Metadata is what a reward needs beyond the text, as one JSON object; for
	// GenEval it is the official record (tag, include, exclude).
	Metadata json.RawMessage `json:"metadata,omitempty"`
}

// A Split names a set of prompts.
type Split int

// The splits. Prompts of HeldOut are for evaluation. What training may meet of them
// is the world's to say: in task/glyphs no held-out word is ever trained on; in
// task/shapes texts of which there are too few are in both splits, and only held-out
// combinations are kept from fine-tuning, not from pretraining.
const (
	Train Split = iota
	HeldOut
)

// A Detection is one object that a Detector found.
type Detection struct {
	Class string     // such as "circle"
	Color string     // such as "red"; empty if unknown
	Box   [4]float64 // x0, y0, x1, y1 in pixels, half-open
	Score float64    // confidence in [0, 1]
}

// A Reader reads the text in a picture.
type Reader interface {
	// Read returns the text in img, "" if there is none. Safe for concurrent use.
	Read(img Image) string
}

// A Detector finds the objects in a picture.
type Detector interface {
	// Detect returns the objects in img in a fixed order. Safe for concurrent use.
	Detect(img Image) []Detection
}

// A Source draws real (caption, picture) pairs for pretraining and as the
// reference of the Fréchet distance.
type Source interface {
	// Example draws the pair addressed by key into img, whose Pix has the
	// source's shape, and returns its caption. Equal keys give equal pairs.
	// Safe for concurrent use.
	Example(key rng.Key, img Image) Prompt
}

// A Miscaptioner can describe its pictures wrongly on purpose.
type Miscaptioner interface {
	// Miscaption returns the source whose captions are wrong in that share of the
	// facts that a reward looks at, in [0, 1), evenly or more in some captions than
	// in others. The pictures need not be of the law of Example's: two objects that
	// differ there may be alike here. A model that learns from it draws well but
	// obeys a caption only as far as captions could be trusted, like one that
	// learned from the captions of the web.
	Miscaption(rate float64) Source
}

// A World is a Source that also knows its prompts and can render any of them.
type World interface {
	Source
	// Name is the recipe's name for the world.
	Name() string
	// Shape returns channels, height and width of its pictures.
	Shape() (c, h, w int)
	// Prompts returns the fixed prompt set of a split, IDs 0, 1, 2, …
	Prompts(split Split) []Prompt
	// Render draws one real picture of p into img; key picks the style.
	Render(p Prompt, key rng.Key, img Image)
}
