package judge

import (
	_ "embed"
	"encoding/binary"
	"errors"
	"math"
	"sync"

	"flowgrpo/internal/portable"
)

// Alphabet lists the characters that the network knows; class None is none of
// them: a part of a character, several, or something else.
const (
	Alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	None     = len(Alphabet)
	Classes  = len(Alphabet) + 1
)

// Hidden is the width of the network.
const Hidden = 96

// A Net is a perceptron with one hidden layer of rectified units.
type Net struct {
	W1 [Hidden][Inputs]float32
	B1 [Hidden]float32
	W2 [Classes][Hidden]float32
	B2 [Classes]float32
}

//go:embed weights.bin
var weights []byte

// Default returns the trained network. It is shared and must not be changed.
var Default = sync.OnceValue(func() *Net {
	n := new(Net)
	if err := n.UnmarshalBinary(weights); err != nil {
		panic(err.Error())
	}
	return n
})

// MarshalBinary returns the weights, little-endian, in the order of the fields.
func (n *Net) MarshalBinary() ([]byte, error) {
	return binary.Append(nil, binary.LittleEndian, n)
}

// UnmarshalBinary reads what MarshalBinary wrote.
func (n *Net) UnmarshalBinary(data []byte) error {
	if len(data) != binary.Size(n) {
		return errors.New("judge: weights have the wrong size")
	}
	_, err := binary.Decode(data, binary.LittleEndian, n)
	return err
}

// LogProbs stores the logarithms of the class probabilities in dst, and the
// hidden activations in hidden.
func (n *Net) LogProbs(dst *[Classes]float32, hidden *[Hidden]float32, in *[Inputs]float32) {
	for j := range n.W1 {
		hidden[j] = max(0, n.B1[j]+dot(n.W1[j][:], in[:]))
	}
	top := float32(math.Inf(-1))
	for k := range n.W2 {
		dst[k] = n.B2[k] + dot(n.W2[k][:], hidden[:])
		top = max(top, dst[k])
	}
	var sum float64
	for _, v := range dst {
		sum += portable.Exp(float64(v - top))
	}
	norm := top + float32(portable.Log(sum))
	for k := range dst {
		dst[k] -= norm
	}
}

// dot returns a·b, in four interleaved sums.
func dot(a, b []float32) float32 {
	var s0, s1, s2, s3 float32
	b = b[:len(a)]
	for len(a) >= 4 {
		s0 += float32(a[0] * b[0])
		s1 += float32(a[1] * b[1])
		s2 += float32(a[2] * b[2])
		s3 += float32(a[3] * b[3])
		a, b = a[4:], b[4:]
	}
	for i := range a {
		s0 += float32(a[i] * b[i])
	}
	return (s0 + s1) + (s2 + s3)
}
