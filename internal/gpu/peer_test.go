//go:build gpu

package gpu

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"testing"

	"gorgonia.org/gorgonia"

	"flowgrpo/internal/graph"
	"flowgrpo/policy"
)

// peerFolder names a folder that contrib/peer/gpu/bench.py parity has written.
const peerFolder = "FLOWGRPO_PEER_PARITY"

// A peerIndex is what the test needs of index.json.
type peerIndex struct {
	Height, Width, Tokens, Batch int
	Adapters                     []struct {
		Name   string
		Offset int
		Shape  []int
	}
}

// Velocities and gradients are those of PyTorch on the same GPU, for the same weights.
func TestPeer(t *testing.T) {
	folder := os.Getenv(peerFolder)
	if folder == "" {
		t.Skip(peerFolder + " names no folder")
	}
	index, net := readPeer(t, folder)
	m := peerModel(net)
	for _, precision := range []Precision{Strict, BFloat16} {
		t.Run(precision.String(), func(t *testing.T) {
			q := testQueue(t, precision)
			q.slice = index.Batch
			comparePeer(t, q, m, folder, index)
		})
	}
}

func readPeer(t *testing.T, folder string) (peerIndex, *policy.MMDiT) {
	var index peerIndex
	net := &policy.MMDiT{}
	for name, into := range map[string]any{"index.json": &index, "config.json": net} {
		text, err := os.ReadFile(filepath.Join(folder, name))
		check(t, err)
		check(t, json.Unmarshal(text, into))
	}
	net.Height, net.Width, net.Tokens = index.Height, index.Width, index.Tokens
	check(t, net.Validate())
	return index, net
}

// comparePeer compares with the network in float32, which is the truth for both.
func comparePeer(t *testing.T, q *Queue, m *policy.Model, folder string, index peerIndex) {
	batch := peerBatch(m, index.Batch)
	for name, run := range map[string]struct {
		model *policy.Model
		theta policy.Theta
	}{
		"velocity": {m, policy.Theta{Base: m.Weights}},
		"guided":   {guided(m, m.Network.Shape()), policy.Theta{Base: m.Weights}},
		"adapted":  {m, m.Theta()},
	} {
		got := make([]float32, len(batch.X))
		check(t, run.model.NewReplicaOn(q, run.theta).VelocityAt(got, batch.X, batch.T, batch.Cond))
		comparePeerTo(t, q, folder, name, got)
	}
	if _, err := os.Stat(filepath.Join(folder, "gradient.f32")); errors.Is(err, fs.ErrNotExist) {
		return // at the full size, PyTorch's gradient in float32 takes too much memory
	}
	batch.Bind = nil
	got := make([]float32, m.Theta().Size())
	_, err := m.NewReplicaOn(q, m.Theta()).Gradient(got, alongX{}, batch)
	check(t, err)
	ordered := make([]float32, len(got))
	for _, a := range index.Adapters {
		size := product64(a.Shape)
		copy(ordered[a.Offset:a.Offset+size], got[m.Adapter.Offset(a.Name):])
	}
	comparePeerTo(t, q, folder, "gradient", ordered)
}

// comparePeerTo holds got to the tolerance or, where guidance makes rounding larger, to what
// PyTorch's bfloat16 is off by.
func comparePeerTo(t *testing.T, q *Queue, folder, name string, got []float32) {
	t.Helper()
	want := readRaw(t, filepath.Join(folder, name+".f32"))
	off, theirs := distance(got, want), distance(readRaw(t, filepath.Join(folder, name+".bf16")), want)
	t.Logf("%v %s: off by %.2g; PyTorch in bfloat16 by %.2g", q.device.precision, name, off, theirs)
	allowed := tolerance[q.device.precision]
	if q.device.precision == BFloat16 {
		allowed = max(allowed, theirs)
	}
	if !(off <= allowed) {
		t.Errorf("%v %s: off by %.2g, want at most %.2g", q.device.precision, name, off, allowed)
	}
}

func readRaw(t *testing.T, path string) []float32 {
	t.Helper()
	raw, err := os.ReadFile(path)
	check(t, err)
	x := make([]float32, len(raw)/4)
	for i := range x {
		x[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
	}
	return x
}

// alongX is the objective Σ v·x over all elements.
type alongX struct{}

func (alongX) Name() string { return "along-x" }

func (alongX) Build(g *gorgonia.ExprGraph, v graph.Node) (graph.Node, []graph.Node) {
	return graph.Dot(v, g.ByName("x")[0]), nil
}
