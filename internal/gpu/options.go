package gpu

// A Precision says how the products of a program compute.
type Precision int

// The precisions.
const (
	Strict   Precision = iota // float32 throughout
	TF32                      // float32 storage, products of TF32 on tensor cores
	BFloat16                  // activations and matrices in bfloat16, sums in float32
)

// String returns the name that recipes use: float32, tf32 or bfloat16.
func (p Precision) String() string { return [...]string{"float32", "tf32", "bfloat16"}[p] }

// Options say how a device holds numbers and computes with them.
type Options struct {
	Precision  Precision
	FrozenInt8 bool // frozen matrices of layers are held in 8 bits, see [graph.Wanted] and int8.go
}
