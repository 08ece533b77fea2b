package graph

// A Kind is how the elements of a value are stored.
type Kind int

// The kinds. BFloat16 exists only in programs compiled with Wanted.Half, which backends of
// their own run.
const (
	Float32 Kind = iota
	Float64
	BFloat16

	kinds // how many there are
)

// Size returns the bytes of an element.
func (k Kind) Size() int { return [...]int{4, 8, 2}[k] }

// String returns a short name, as kernels use it: f32, f64, bf16.
func (k Kind) String() string { return [...]string{"f32", "f64", "bf16"}[k] }
