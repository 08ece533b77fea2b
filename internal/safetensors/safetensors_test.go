package safetensors

import (
	"bytes"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// TestHalf compares every binary16 with its definition.
func TestHalf(t *testing.T) {
	for h := range 1 << 16 {
		exp, frac := h>>10&31, float64(h&1023)
		want := math.Ldexp(1+frac/1024, exp-15)
		switch {
		case exp == 0:
			want = math.Ldexp(frac/1024, -14)
		case exp == 31 && frac == 0:
			want = math.Inf(1)
		case exp == 31:
			want = math.NaN()
		}
		if h>>15 == 1 {
			want = -want
		}
		if got := float64(fromHalf(uint16(h))); math.Float64bits(got) != math.Float64bits(want) && !(got != got && want != want) {
			t.Fatalf("fromHalf(%#x) = %v, want %v", h, got, want)
		}
	}
}

func sample() []Tensor {
	big := make([]float32, 40_000) // more than one chunk
	for i := range big {
		big[i] = float32(i) / 3
	}
	return []Tensor{
		{Name: "z", Shape: []int{2, 1}, Data: []float32{1, -2}},
		{Name: "a <&> \"b\"\n", Shape: []int{200, 200}, Data: big},
		{Name: "ü", DType: F64, Shape: []int{2}, Data: []float32{1. / 3, 3}, Data64: []float64{1. / 3, 3}},
		{Name: "scalar", DType: F32, Data: []float32{7}},
		{Name: "none", Shape: []int{0, 3}},
	}
}

func TestRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.safetensors")
	meta := map[string]string{"format": "pt", "x": "<ü>"}
	if err := Write(path, sample(), meta); err != nil {
		t.Fatal(err)
	}
	f, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	if f.Path != path || !cmp.Equal(meta, f.Metadata) {
		t.Errorf("path %q, metadata %v", f.Path, f.Metadata)
	}
	for _, want := range sample() {
		got, err := f.Tensor(want.Name)
		want.DType = got.DType
		if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); err != nil || d != "" {
			t.Errorf("tensor %q: %v (-want +got)\n%s", want.Name, err, d)
		}
	}
	first, _ := os.ReadFile(path)
	var again bytes.Buffer
	if err := Encode(&again, values(t, f), f.Metadata); err != nil || !bytes.Equal(first, again.Bytes()) {
		t.Errorf("second writing differs (%v)", err)
	}
}

func TestHeaderIsPadded(t *testing.T) {
	for n := range 16 {
		var b bytes.Buffer
		if err := Encode(&b, nil, map[string]string{"k": strings.Repeat("v", n)}); err != nil {
			t.Fatal(err)
		}
		if b.Len()%8 != 0 || binary.LittleEndian.Uint64(b.Bytes()) != uint64(b.Len()-8) {
			t.Errorf("header of %d bytes, length field %d", b.Len()-8, binary.LittleEndian.Uint64(b.Bytes()))
		}
	}
}

func TestEncodeRefuses(t *testing.T) {
	for _, tc := range []struct {
		tensors []Tensor
		meta    map[string]string
		want    string
	}{
		{[]Tensor{{Name: "", Data: []float32{1}}}, nil, `safetensors: "" is not a name for a tensor`},
		{[]Tensor{{Name: "__metadata__", Data: []float32{1}}}, nil, `safetensors: "__metadata__" is not a name for a tensor`},
		{[]Tensor{{Name: "\xff", Data: []float32{1}}}, nil, `safetensors: "\xff" is not a name for a tensor`},
		{[]Tensor{{Name: "a", Data: []float32{1}}, {Name: "a", Data: []float32{1}}}, nil, `safetensors: tensor "a" is given twice`},
		{[]Tensor{{Name: "a", Shape: []int{2}, Data: []float32{1}}}, nil, `safetensors: tensor "a" has 1 values, shape [2] needs 2`},
		{[]Tensor{{Name: "a", DType: F64, Shape: []int{1}, Data: []float32{1}}}, nil, `safetensors: tensor "a" has 0 values, shape [1] needs 1`},
		{[]Tensor{{Name: strings.Repeat("n", 1025), Data: []float32{1}}}, nil, `safetensors: the name "` + strings.Repeat("n", 120) + `…" has 1025 bytes; the limit is 1024`},
		{[]Tensor{{Name: "a", Shape: make([]int, 17)}}, nil, `safetensors: tensor "a" has rank 17; the limit is 16`},
		{make([]Tensor, 200_001), nil, `safetensors: 200001 tensors; the limit is 200000`},
		{nil, map[string]string{"a": "\xff"}, `safetensors: metadata "a" is not valid UTF-8`},
		{nil, map[string]string{"a": strings.Repeat("v", 25_000_000)}, `safetensors: header of 25000032 bytes exceeds the limit 25000000`},
	} {
		err := Encode(&bytes.Buffer{}, tc.tensors, tc.meta)
		if err == nil || err.Error() != tc.want {
			t.Errorf("error %v, want %s", err, tc.want)
		}
	}
}

func TestGet(t *testing.T) {
	nan := math.Float32bits(float32(math.NaN()))
	f, err := readBytes(raw(`{`+one("a", "F32", "2,3", "0,24")+`,`+one("b", "F32", "2", "24,32")+`}`,
		append(binary.LittleEndian.AppendUint32(zeros(20), nan), 0, 0, 0x80, 0x3f, 0, 0, 0, 0x40)...))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := f.Get("b", 2); err != nil || got.Data[0] != 1 || got.Data[1] != 2 {
		t.Errorf("Get(b) = %v, %v", got, err)
	}
	for _, tc := range []struct {
		name  string
		shape []int
		want  string
	}{
		{"c", []int{2}, `m.safetensors: tensor "c" is missing; expected shape [2]`},
		{"b", []int{2, 1}, `m.safetensors: tensor "b" has shape [2], expected [2 1]`},
		{"a", []int{2, 3}, `m.safetensors: tensor "a" has 1 non-finite values (first at [1 2])`},
	} {
		if _, err := f.Get(tc.name, tc.shape...); err == nil || err.Error() != tc.want {
			t.Errorf("error %v, want %s", err, tc.want)
		}
	}
	if _, err := f.Tensor("c"); err == nil || err.Error() != `m.safetensors: tensor "c" is missing` {
		t.Errorf("Tensor(c): %v", err)
	}
}

// All that does not fit is in one error.
func TestFits(t *testing.T) {
	f, err := readBytes(raw(`{`+one("a", "U8", "3", "0,3")+`,`+one("b", "U8", "", "3,4")+`}`, zeros(4)...))
	if err != nil {
		t.Fatal(err)
	}
	a, b := Entry{Name: "a", Shape: []int{3}}, Entry{Name: "b"}
	for _, tc := range []struct {
		have []Entry
		want string // after the path
	}{
		{[]Entry{a, b}, ""},
		{[]Entry{b}, `does not fit model "m": unexpected "a"`},
		{[]Entry{{Name: "a", Shape: []int{4}}, b, {Name: "mid.w"}}, `does not fit model "m": missing "mid.w"; "a" has shape [3], expected [4]`},
		{[]Entry{a, {Name: "v"}, {Name: "w"}, {Name: "x"}, {Name: "y"}, {Name: "z"}}, `does not fit model "m": missing "v", "w", "x" and 2 more; unexpected "b"`},
	} {
		switch err := f.Fits("m", tc.have); {
		case tc.want == "" && err != nil:
			t.Error(err)
		case tc.want != "" && (err == nil || err.Error() != "m.safetensors: "+tc.want):
			t.Errorf("error\n got %v\nwant %s", err, tc.want)
		}
	}
}

// A file that changes between the reading of its header and of its values is an error.
func TestFileChanges(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.safetensors")
	if err := os.WriteFile(path, raw(`{`+one("a", "U8", "3", "0,3")+`}`, 1, 2, 3), 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 9); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Tensor("a"); err == nil || !strings.HasPrefix(err.Error(), path+`: tensor "a": the file had `) {
		t.Errorf("error %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Tensor("a"); err == nil || strings.Count(err.Error(), path) != 1 {
		t.Errorf("error %v, want one that names the file once", err)
	}
}

// Weights of other formats are named when a folder has no others.
func TestOtherFormats(t *testing.T) {
	folder := fstest.MapFS{
		"t/pytorch_model.bin": {Data: []byte("PK\x03\x04" + string(zeros(26)) + "archive/data.pkl")}, "t/notes.txt": {},
	}
	const want = "t/pytorch_model.bin: this is a PyTorch pickle file, which can run code when loaded; convert it to safetensors first"
	if _, err := ReadFS(folder, "t"); err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}

func TestReadNamesTheFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "no.safetensors")
	if _, err := Read(path); err == nil || !strings.HasPrefix(err.Error(), path+": ") || strings.Count(err.Error(), "no.safetensors") != 1 {
		t.Errorf("error %v, want one that names %s once", err, path)
	}
	if err := Write(filepath.Join(dir, "yes.safetensors"), sample(), nil); err != nil {
		t.Fatal(err)
	}
	if f, err := Read(dir); err != nil || len(f.Entries()) != len(sample()) {
		t.Errorf("reading the folder: %v, %v", f, err)
	}
}
