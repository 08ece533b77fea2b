// Package plugin is the kit for rewards that live in a program of their own: the run
// starts the program, hands it pictures and gets scores. A reward is a type with two
// methods, and the program is
//
//	func main() { plugin.Main(darkness{}) }
//
// The package needs nothing but the standard library, so that its files can be copied
// into any module. docs/rewards.md explains the protocol that it speaks.
package plugin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/png"
)

// A Reward judges pictures; larger is better.
type Reward interface {
	// Info says what the reward is. It is asked after Load.
	Info() Info
	// Score returns one Result per sample, in order, or an error if it can judge none
	// of them. The context ends when nobody waits for the answer any more. Info says
	// how many calls run at the same time; by default it is one.
	Score(ctx context.Context, batch []Sample) ([]Result, error)
}

// A Loader is a Reward that has something to do before it can judge, such as to read
// weights, or that takes parameters.
type Loader interface {
	Reward
	// Load is called once, before anything else. params is the table
	// reward.NAME.params of the recipe as a JSON object.
	Load(params json.RawMessage) error
}

// Formats of pictures, the values of [Info.Image].
const (
	PNG     = "png"     // 8 bits per channel, RGB or grey
	Float32 = "float32" // the very numbers that the model drew
	None    = "none"    // no pictures
)

// Info is what a reward says of itself. The zero value asks for PNG files and promises
// nothing.
type Info struct {
	Name, Version string
	// Image is the format in which pictures come; empty means PNG.
	Image string
	// What to send beyond the picture, the prompt and its metadata. The recipe's task
	// must have it.
	WantsReference, WantsReading, WantsDetections bool
	// MaxBatch is the largest number of samples in a call; 0 is any.
	MaxBatch int
	// MaxConcurrency is the number of calls that may run at the same time; 0 means 1.
	MaxConcurrency int
	// Groupwise rewards compare the samples of a group with each other, and are given
	// whole groups only.
	Groupwise bool
	// EvaluationOnly rewards are not asked in training.
	EvaluationOnly bool
	// Deterministic rewards give the same results for the same samples, so that an
	// answer can be kept.
	Deterministic bool
	// MinScore and MaxScore bound every score; both are 0 where nothing is promised.
	MinScore, MaxScore float64
}

// A Sample is a finished picture and what was asked for.
type Sample struct {
	ID    uint32
	Group uint32 // the samples of a group are consecutive
	// What was asked for, and the row of a report that it counts in.
	Prompt, Category string
	Metadata         json.RawMessage // a JSON object, nil if the prompt has none
	Image            Image
	Reference        Image       // the picture to be like, if Info asks for it
	Reading          string      // what the run's reader reads, if Info asks for it
	Detections       []Detection // what the run's detector finds, if Info asks for it
}

// An Image is a picture in the format that Info asks for: PNG, or Pix with its size.
type Image struct {
	PNG []byte
	// Channels (1 or 3), height and width; 0 with a PNG.
	C, H, W int
	// C·H·W values, row by row, one channel after the other, nominally in [-1, 1].
	Pix []float32
}

// Decode decodes the PNG.
func (im Image) Decode() (image.Image, error) { return png.Decode(bytes.NewReader(im.PNG)) }

// At returns channel c of pixel (x, y) of Pix.
func (im Image) At(c, x, y int) float32 { return im.Pix[(c*im.H+y)*im.W+x] }

// A Detection is an object in a picture.
type Detection struct {
	Class string     `json:"class"`
	Color string     `json:"color"` // empty if unknown
	Box   [4]float64 `json:"box"`   // x0, y0, x1, y1 in pixels, half-open
	Score float64    `json:"score"` // confidence in [0, 1]
}

// A Result is the judgement of one sample.
type Result struct {
	Score float64            // finite and at most 1e6 in size; meaningless if Err is not nil
	Parts map[string]float64 // named parts of the score, for the record; may be nil
	// Err is why the sample has no score, never a low score instead. [Fail] makes one
	// with a reason, by which failures are counted; others count as "refused".
	Err error
}

// A Failure is an error with a reason in a word or two, such as "no face found".
type Failure struct{ Reason, Message string }

// Error implements error.
func (f *Failure) Error() string { return f.Reason + ": " + f.Message }

// Fail returns a *Failure as the result of a sample.
func Fail(reason, format string, args ...any) Result {
	return Result{Err: &Failure{reason, fmt.Sprintf(format, args...)}}
}

// failureOf returns err as a Failure.
func failureOf(err error) *Failure {
	if f := (*Failure)(nil); errors.As(err, &f) {
		return f
	}
	return &Failure{"refused", err.Error()}
}
