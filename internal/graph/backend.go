package graph

import (
	"context"

	"flowgrpo/internal/rng"
)

// A Backend compiles programs for a device with memory of its own, such as a GPU. It is
// for one goroutine.
type Backend interface {
	// Compile returns the program that computes w, or an error if it does not fit the device.
	Compile(w Wanted) (Executable, error)
	// Slice returns the most samples that a program of velocities should compute at a time.
	Slice() int
}

// A Binder binds the inputs of a program: see [Program.Bind] and [Program.Bind64].
type Binder interface {
	Bind(name string, data []float32)
	Bind64(name string, data []float64)
}

// A Weight is a parameter of which a device keeps a copy for as long as its Version is the
// same. Owner and Name together tell weights apart.
type Weight struct {
	Name    string
	Owner   any
	Version uint64
	Data    []float32
}

// An Executable is a program on a device. What is bound is copied by the next Run; data that
// has changed since is to be bound again.
type Executable interface {
	Binder
	// BindWeight binds the input w.Name.
	BindWeight(w Weight) error
	// BindSum makes Run add the i-th sum to data, in the processor's memory.
	BindSum(i int, data []float32)
	// Run computes the outputs from the bound inputs and adds the sums; without add it
	// stores them.
	Run(add bool) error
	// Output returns the i-th output in the processor's memory; the next Run of any program of
	// the backend overwrites it.
	Output(i int) Buffer
	// Bytes returns the memory of the device that Run needs beside weights.
	Bytes() int
}

// A Walker is an Executable whose first output is a velocity, and which can make the steps of a
// rollout that its velocities are for.
type Walker interface {
	// Walk makes the steps of w. It returns the error of ctx within a few steps after that has one.
	Walk(ctx context.Context, w Walk) error
}

// WalkBytes returns the most that a walk of so many steps takes of a device's memory beside its
// program: three states of dim coordinates for every sample, and what tells the steps.
func WalkBytes(samples, dim, steps int) int {
	const sample, step, rest = 64, 64, 4 << 10
	return 12*samples*dim + samples*(sample+steps*step) + rest
}

// A Walk is steps of a rollout that B samples of D coordinates make one after the other: from
// where the input State says, at the time that the input Time says, both bound for the first
// step, and then from where the one before has led.
type Walk struct {
	State, Time string
	// Rows has, for each sample, the row of these inputs, and of the velocities, that is its own;
	// nil: its number. Samples of one row are in one state at the beginning of every step.
	Rows  []int
	Steps []Step
}

// A Step is one denoising step of a Walk,
//
//	next = X·x + V·v + Std·noise
//
// with the noise that each sample's key draws, and the log-probability of next, with the bits
// that the processor gives both.
type Step struct {
	T        float64 // of the velocity
	X, V     float64
	Std      float64
	Keys     []rng.Key // [B]
	Next     []float32 // [B, D]: where the new states go
	Logp     []float64 // [B]: where their log-probabilities in nats go; 0 if Std is
	Velocity []float32 // [B, D]: where the velocities go; nil if they are not wanted
}
