package safetensors

import (
	"bytes"
	"math"
	"strings"
	"testing"
)

// Every half comes back from float32 as itself.
func TestHalfIdentity(t *testing.T) {
	t.Parallel()
	for h := range 1 << 16 {
		x := fromHalf(uint16(h))
		if x != x {
			continue // NaNs become quiet
		}
		if got, ok := toHalf(x); got != uint16(h) || !ok {
			t.Fatalf("toHalf(%g) = %#04x, %t, want %#04x", x, got, ok, h)
		}
	}
}

// Between two neighbours the nearest wins, and the even one in the middle.
func TestHalfRounding(t *testing.T) {
	t.Parallel()
	for h := range uint16(0x7bff) {
		low, high := fromHalf(h), fromHalf(h+1)
		mid := low/2 + high/2
		even := h + h&1
		for _, c := range []struct {
			x    float32
			want uint16
		}{{math.Nextafter32(mid, 0), h}, {mid, even}, {math.Nextafter32(mid, 1e9), h + 1}} {
			if got, _ := toHalf(c.x); got != c.want {
				t.Fatalf("toHalf(%g) = %#04x, want %#04x (neighbours %g, %g)", c.x, got, c.want, low, high)
			}
			if got, _ := toHalf(-c.x); got != c.want|0x8000 {
				t.Fatalf("toHalf(%g) = %#04x, want %#04x", -c.x, got, c.want|0x8000)
			}
		}
	}
}

func TestHalfOverflow(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		x    float32
		want string // part of the error, "" for none
	}{
		{65504, ""},
		{65519.996, ""}, // rounds down
		{65520, "beyond the range"},
		{-1e30, "beyond the range"},
		{float32(math.Inf(-1)), ""},
		{float32(math.NaN()), ""},
	} {
		err := Encode(&bytes.Buffer{}, []Tensor{{Name: "w", DType: F16, Shape: []int{1}, Data: []float32{c.x}}}, nil)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("Encode(%g as F16): error %v, want %q", c.x, err, c.want)
		}
	}
}

func TestHalfFile(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	in := []Tensor{
		{Name: "a", DType: F16, Shape: []int{3}, Data: []float32{0.1, -2, 0x1p-25}},
		{Name: "b", Shape: []int{1}, Data: []float32{0.1}},
	}
	if err := Encode(&b, in, nil); err != nil {
		t.Fatal(err)
	}
	f, err := readBytes(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	half, _ := f.Tensor("a")
	full, _ := f.Tensor("b")
	if half.DType != F16 || half.Data[0] != 0x1.998p-4 || half.Data[1] != -2 || half.Data[2] != 0 {
		t.Errorf("F16 came back as %+v", half)
	}
	if full.DType != F32 || full.Data[0] != 0.1 {
		t.Errorf("F32 came back as %+v", full)
	}
}
