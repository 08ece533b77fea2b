package glyphs

import (
	"flowgrpo/task"
	"flowgrpo/task/glyphs/internal/judge"
)

// Judge reads words by cutting the picture into characters and classifying
// their gradients with a small trained network. It is the second opinion of an
// evaluation: it estimates colours, finds characters and tells them apart by
// other means than [Reader], and no reward may see it.
//
// A Judge is immutable and safe for concurrent use.
type Judge struct{ net *judge.Net }

var _ task.Reader = Judge{}

// NewJudge returns the reader that evaluations use beside the reward.
func NewJudge() task.Reader { return Judge{judge.Default()} }

// Read implements [task.Reader]. It panics if img does not have the world's
// shape; no content of the picture makes it fail.
func (j Judge) Read(img task.Image) string {
	if img.C != channels || img.H != height || img.W != width {
		panic(badShape)
	}
	return judge.Read(j.net, img)
}
