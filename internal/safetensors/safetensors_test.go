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

// raw builds a file from a header and data, with no check.
func raw(header string, data ...byte) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), data...)
}

func zeros(n int) []byte { return make([]byte, n) }

func TestHostile(t *testing.T) {
	huge := func(n uint64, rest string) []byte {
		return append(binary.LittleEndian.AppendUint64(nil, n), rest...)
	}
	for _, tc := range []struct {
		name string
		file []byte
		want string
	}{
		{"empty", nil, "file has 0 bytes; a safetensors file needs at least 8"},
		{"short", zeros(7), "file has 7 bytes; a safetensors file needs at least 8"},
		{"length past the end", huge(1000000, `{}`), "header length 1000000 exceeds the file size 10 (truncated download?)"},
		{"length 2^63", huge(1<<63, `{}`), "header length 9223372036854775808 exceeds the limit 100000000"},
		{"length 2^64-1", huge(math.MaxUint64, `{}`), "header length 18446744073709551615 exceeds the limit 100000000"},
		{"no header", huge(0, ""), "header must begin with '{', found nothing"},
		{"array", raw(`[]`), "header must begin with '{', found '['"},
		{"null", raw(`null`), "header must begin with '{', found 'n'"},
		{"leading space", raw(` {}`), "header must begin with '{', found ' '"},
		{"BOM", raw("\ufeff{}"), "header must begin with '{', found 'ï'"},
		{"not UTF-8", raw("{\"a\xff\":1}"), "header is not valid UTF-8 at byte 3"},
		{"lone high surrogate", raw(`{"\ud800":1}`), "header is not valid UTF-8 at byte 2"},
		{"lone low surrogate", raw(`{"\\\udc00":1}`), "header is not valid UTF-8 at byte 4"},
		{"high surrogate, then another", raw(`{"\ud800\ud800":1}`), "header is not valid UTF-8 at byte 2"},
		{"syntax", raw(`{"a":}`), "header is not a JSON object padded with spaces"},
		{"trailing comma", raw(`{"a":{},}`), "header is not a JSON object padded with spaces"},
		{"two objects", raw(`{}{}`), "header is not a JSON object padded with spaces"},
		{"padded with newline", raw("{}\n"), "header is not a JSON object padded with spaces"},
		{"padded with NUL", raw("{}\x00"), "header is not a JSON object padded with spaces"},
		{"deep", raw(`{"a":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + `}`), "header is not a JSON object padded with spaces"},
		{"duplicate", raw(`{"t":{"dtype":"U8","shape":[],"data_offsets":[0,1]},"t":{"dtype":"U8","shape":[],"data_offsets":[0,1]}}`, 0), `tensor "t" is defined twice; duplicate names are not allowed`},
		{"duplicate by escape", raw(`{"t":{"dtype":"U8","shape":[],"data_offsets":[0,1]},"\u0074":{"dtype":"U8","shape":[],"data_offsets":[0,1]}}`, 0), `tensor "t" is defined twice; duplicate names are not allowed`},
		{"metadata number", raw(`{"__metadata__":{"a":1}}`), `__metadata__ "a" must be a string, found 1`},
		{"metadata nested", raw(`{"__metadata__":{"a":{"b":"c"}}}`), `__metadata__ "a" must be a string, found {"b":"c"}`},
		{"metadata array", raw(`{"__metadata__":[]}`), "must be an object, found []"},
		{"metadata duplicate", raw(`{"__metadata__":{"a":"1","a":"2"}}`), `__metadata__ "a" is defined twice`},
		{"entry not an object", raw(`{"w":3}`), `tensor "w": must be an object, found 3`},
		{"dtype lower case", raw(`{"w":{"dtype":"f32","shape":[],"data_offsets":[0,4]}}`, zeros(4)...), `tensor "w": unknown dtype "f32" (did you mean "F32"?)`},
		{"dtype unsupported", raw(`{"w":{"dtype":"F8_E4M3","shape":[],"data_offsets":[0,1]}}`, 0), `tensor "w": dtype "F8_E4M3" is not supported; convert the tensor to one of [F64 F32 F16 BF16 I64 I32 U8 BOOL]`},
		{"dtype number", raw(`{"w":{"dtype":32,"shape":[],"data_offsets":[0,1]}}`, 0), `tensor "w": dtype must be a string, found 32`},
		{"shape negative", raw(`{"w":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}`, zeros(4)...), `tensor "w": shape[0] must be a whole number >= 0, found -1`},
		{"shape fraction", raw(`{"w":{"dtype":"F32","shape":[2,1.0],"data_offsets":[0,4]}}`, zeros(4)...), `tensor "w": shape[1] must be a whole number >= 0, found 1.0`},
		{"shape string", raw(`{"w":{"dtype":"F32","shape":["1"],"data_offsets":[0,4]}}`, zeros(4)...), `tensor "w": shape[0] must be a whole number >= 0, found "1"`},
		{"shape null", raw(`{"w":{"dtype":"F32","shape":null,"data_offsets":[0,4]}}`, zeros(4)...), `tensor "w": shape must be an array, found null`},
		{"shape 2^64", raw(`{"w":{"dtype":"F32","shape":[18446744073709551616],"data_offsets":[0,4]}}`, zeros(4)...), `tensor "w": shape[0] is too large: 18446744073709551616`},
		{"rank 300", raw(`{"w":{"dtype":"F32","shape":[1`+strings.Repeat(",1", 299)+`],"data_offsets":[0,4]}}`, zeros(4)...), `tensor "w": shape has 300 entries; the limit is 32`},
		{"shape product", raw(`{"w":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]}}`, zeros(4)...), `tensor "w": shape [4294967296 4294967296] overflows the size computation`},
		{"byte size", raw(`{"w":{"dtype":"F32","shape":[2305843009213693952],"data_offsets":[0,4]}}`, zeros(4)...), `tensor "w": shape [2305843009213693952] overflows the size computation`},
		{"offsets reversed", raw(`{"w":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}`, zeros(4)...), `tensor "w": data_offsets [4 0] are not a range inside the 4 data bytes`},
		{"offsets past the end", raw(`{"w":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, zeros(4)...), `tensor "w": data_offsets [4 8] are not a range inside the 4 data bytes`},
		{"three offsets", raw(`{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4,4]}}`, zeros(4)...), `tensor "w": data_offsets [0 4 4] are not a range inside the 4 data bytes`},
		{"offset negative", raw(`{"w":{"dtype":"F32","shape":[1],"data_offsets":[-4,0]}}`, zeros(4)...), `tensor "w": data_offsets[0] must be a whole number >= 0, found -4`},
		{"no dtype", raw(`{"w":{"shape":[1],"data_offsets":[0,4]}}`, zeros(4)...), `tensor "w": needs dtype, shape and data_offsets`},
		{"shape twice", raw(`{"w":{"dtype":"F32","shape":[1],"shape":[2],"data_offsets":[0,4]}}`, zeros(4)...), `tensor "w": "shape" is defined twice`},
		{"unknown field", raw(`{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1}}`, zeros(4)...), `tensor "w": unknown field "x"`},
		{"size", raw(`{"w":{"dtype":"F32","shape":[2,3],"data_offsets":[0,20]}}`, zeros(20)...), `tensor "w": F32 [2 3] needs 24 bytes, data_offsets give 20`},
		{"hole", raw(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}}`, zeros(12)...), `bytes 4..8 belong to no tensor (holes are not allowed)`},
		{"hole of one byte", raw(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}}`, zeros(3)...), `bytes 1..2 belong to no tensor (holes are not allowed)`},
		{"hole at the start", raw(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, zeros(8)...), `bytes 0..4 belong to no tensor (holes are not allowed)`},
		{"overlap", raw(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}`, zeros(12)...), `bytes 4..8 belong to both "a" and "b"`},
		{"aliased", raw(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, zeros(4)...), `bytes 0..4 belong to both "a" and "b"`},
		{"bytes at the end", raw(`{}`, zeros(34)...), `34 bytes after the last tensor`},
		{"bool 2", raw(`{"w":{"dtype":"BOOL","shape":[2],"data_offsets":[0,2]}}`, 1, 2), `tensor "w": element 1 is 2; a BOOL is 0 or 1`},
		{"zip", []byte("PK\x03\x04\x00\x00\x08\x08\x00\x00\x00\x00"), "this is a zip archive (PyTorch pickle, NumPy npz or Keras), which may run code when loaded; convert it to safetensors first"},
		{"pickle", []byte("\x80\x02\x8a\x0al\xfc\x9c\x46\xf9"), "this is a PyTorch pickle file, which can run code when loaded; convert it to safetensors first"},
		{"short pickle", []byte("\x80\x04\x95\x04\x00\x00\x00\x00\x00\x00\x00]"), "this is a pickle file, which can run code when loaded; convert it to safetensors first"},
		{"GGUF", []byte("GGUF\x03\x00\x00\x00\x00\x00"), "this is a GGUF file (quantised for llama.cpp); convert it to safetensors first"},
		{"LFS pointer", []byte("version https://git-lfs.github.com/spec/v1\n"), `this is a Git LFS pointer, not the file itself; run "git lfs pull"`},
		{"HTML", []byte("<!DOCTYPE html><html>"), "this is an HTML page, not the file itself; the download failed"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f, err := ReadBytes(tc.file)
			if err == nil {
				t.Fatalf("accepted: %+v", f)
			}
			if got, want := err.Error(), "safetensors: "+tc.want; got != want {
				t.Errorf("error\n got %s\nwant %s", got, want)
			}
		})
	}
}

func TestAccepted(t *testing.T) {
	for _, tc := range []struct {
		name string
		file []byte
		want []Tensor
	}{
		{"nothing", raw(`{}      `), []Tensor{}},
		{"no bytes", raw(`{"b":{"dtype":"F32","shape":[0,7],"data_offsets":[0,0]},"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}`), []Tensor{{Name: "a", DType: F32, Shape: []int{0}}, {Name: "b", DType: F32, Shape: []int{0, 7}}}},
		{"scalar", raw(`{"s":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}`, 0, 0, 0x80, 0x3f), []Tensor{{Name: "s", DType: F32, Shape: []int{}, Data: []float32{1}}}},
		{"any field order, unsorted, unaligned", raw(`{"z":{"data_offsets":[0,1],"dtype":"U8","shape":[1]},"a":{"shape":[1],"dtype":"F32","data_offsets":[1,5]}}`, 200, 0, 0, 0, 0x40),
			[]Tensor{{Name: "a", DType: F32, Shape: []int{1}, Data: []float32{2}}, {Name: "z", DType: U8, Shape: []int{1}, Data: []float32{200}}}},
		{"surrogate pair", raw(`{"\ud83d\ude00":{"dtype":"BOOL","shape":[2],"data_offsets":[0,2]}}`, 1, 0), []Tensor{{Name: "😀", DType: Bool, Shape: []int{2}, Data: []float32{1, 0}}}},
		{"F16", raw(`{"h":{"dtype":"F16","shape":[7],"data_offsets":[0,14]}}`, 0x00, 0x3c, 0x00, 0xc0, 0xff, 0x7b, 0x01, 0x00, 0xff, 0x03, 0x00, 0x80, 0x00, 0x7c),
			[]Tensor{{Name: "h", DType: F16, Shape: []int{7}, Data: []float32{1, -2, 65504, 0x1p-24, 0x1p-14 - 0x1p-24, float32(math.Copysign(0, -1)), float32(math.Inf(1))}}}},
		{"BF16", raw(`{"h":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}`, 0x80, 0x3f, 0x49, 0xc0), []Tensor{{Name: "h", DType: BF16, Shape: []int{2}, Data: []float32{1, -3.140625}}}},
		{"I64", raw(`{"i":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}}`, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), []Tensor{{Name: "i", DType: I64, Shape: []int{1}, Data: []float32{-1}, Data64: []float64{-1}}}},
		{"I32", raw(`{"i":{"dtype":"I32","shape":[1],"data_offsets":[0,4]}}`, 1, 0, 0, 1), []Tensor{{Name: "i", DType: I32, Shape: []int{1}, Data: []float32{1 << 24}, Data64: []float64{1<<24 + 1}}}},
		{"F64", raw(`{"d":{"dtype":"F64","shape":[1],"data_offsets":[0,8]}}`, 1, 0, 0, 0, 0, 0, 0xf0, 0x3f), []Tensor{{Name: "d", DType: F64, Shape: []int{1}, Data: []float32{1}, Data64: []float64{math.Nextafter(1, 2)}}}},
	} {
		f, err := ReadBytes(tc.file)
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		if d := cmp.Diff(tc.want, f.Tensors, cmpopts.EquateEmpty()); d != "" {
			t.Errorf("%s: (-want +got)\n%s", tc.name, d)
		}
	}
}

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
		got, ok := f.Tensor(want.Name)
		want.DType = got.DType
		if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); !ok || d != "" {
			t.Errorf("tensor %q (-want +got)\n%s", want.Name, d)
		}
	}
	first, _ := os.ReadFile(path)
	var again bytes.Buffer
	if err := Encode(&again, f.Tensors, f.Metadata); err != nil || !bytes.Equal(first, again.Bytes()) {
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

// TestReference reads a file of the reference implementation, see testdata/reference.py.
func TestReference(t *testing.T) {
	f, err := Read("testdata/reference.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	third := float64(float32(1) / 3)
	want := []Tensor{
		{Name: "bool", DType: Bool, Shape: []int{2}, Data: []float32{1, 0}},
		{Name: "empty", DType: F32, Shape: []int{0, 3}},
		{Name: "f16", DType: F16, Shape: []int{2}, Data: []float32{0x1.554p-2, -65504}},
		{Name: "f32", DType: F32, Shape: []int{2, 2}, Data: []float32{1.5, 0, 1e-45, 3.4e38}},
		{Name: "f64", DType: F64, Shape: []int{2}, Data: []float32{float32(third), float32(math.Inf(-1))}, Data64: []float64{1. / 3, -1e300}},
		{Name: "i32", DType: I32, Shape: []int{1, 1, 1}, Data: []float32{1 << 31}, Data64: []float64{math.MaxInt32}},
		{Name: "i64", DType: I64, Shape: []int{1}, Data: []float32{-1 << 40}, Data64: []float64{-1 << 40}},
		{Name: "scalar", DType: F32, Data: []float32{2.5}},
		{Name: "u8", DType: U8, Shape: []int{2}, Data: []float32{0, 255}},
	}
	if d := cmp.Diff(want, f.Tensors, cmpopts.EquateEmpty()); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	if d := cmp.Diff(map[string]string{"format": "np", "note": "é \"quoted\""}, f.Metadata); d != "" {
		t.Errorf("metadata (-want +got)\n%s", d)
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
		{nil, map[string]string{"a": "\xff"}, `safetensors: metadata "a" is not valid UTF-8`},
	} {
		err := Encode(&bytes.Buffer{}, tc.tensors, tc.meta)
		if err == nil || err.Error() != tc.want {
			t.Errorf("error %v, want %s", err, tc.want)
		}
	}
}

func TestGet(t *testing.T) {
	f := &File{Path: "m.safetensors", Tensors: []Tensor{
		{Name: "a", Shape: []int{2, 3}, Data: []float32{0, 0, 0, 0, 0, float32(math.NaN())}},
		{Name: "b", Shape: []int{2}, Data: []float32{1, 2}},
	}}
	if got, err := f.Get("b", 2); err != nil || got.Data[1] != 2 {
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
}

func encode(t *testing.T, tensors ...Tensor) *fstest.MapFile {
	t.Helper()
	var b bytes.Buffer
	if err := Encode(&b, tensors, nil); err != nil {
		t.Fatal(err)
	}
	return &fstest.MapFile{Data: b.Bytes()}
}

func TestSharded(t *testing.T) {
	a, b := Tensor{Name: "a", Data: []float32{1}}, Tensor{Name: "b", Data: []float32{2}}
	index := func(weights string) *fstest.MapFile {
		return &fstest.MapFile{Data: []byte(`{"metadata":{"total_size":8},"weight_map":{` + weights + "}}\n")}
	}
	fsys := func(weights string) fstest.MapFS {
		return fstest.MapFS{
			"t/m.safetensors.index.json": index(weights), "t/m-1.safetensors": encode(t, b), "t/m-2.safetensors": encode(t, a),
		}
	}
	for _, name := range []string{"t", "t/m.safetensors", "t/m.safetensors.index.json"} {
		f, err := ReadFS(fsys(`"a":"m-2.safetensors","b":"m-1.safetensors"`), name)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if len(f.Tensors) != 2 || f.Tensors[0].Data[0] != 1 || f.Tensors[1].Data[0] != 2 {
			t.Errorf("%s: read %+v", name, f.Tensors)
		}
	}
	const where = "t/m.safetensors.index.json: "
	for _, tc := range []struct{ weights, want string }{
		{`"a":"../m-2.safetensors"`, where + `weight_map "a" must name a .safetensors file in the same folder, found "../m-2.safetensors"`},
		{`"a":"..\\m-2.safetensors"`, where + `weight_map "a" must name a .safetensors file in the same folder, found "..\\m-2.safetensors"`},
		{`"a":"m.bin"`, where + `weight_map "a" must name a .safetensors file in the same folder, found "m.bin"`},
		{`"a":1`, where + `weight_map "a" must name a .safetensors file in the same folder, found 1`},
		{`"a":"m-2.safetensors","a":"m-1.safetensors"`, where + `key "a" is defined twice`},
		{`"a":"m-1.safetensors","b":"m-1.safetensors"`, where + `1 tensors that the index puts in m-1.safetensors are not there`},
		{`"a":"m-1.safetensors","b":"m-2.safetensors"`, where + `tensor "b" is in m-1.safetensors, but the index puts it in "m-2.safetensors"`},
		{`"c":"m-3.safetensors"`, "t/m-3.safetensors: file does not exist"},
	} {
		if _, err := ReadFS(fsys(tc.weights), "t"); err == nil || err.Error() != tc.want {
			t.Errorf("weight_map {%s}: error\n got %v\nwant %s", tc.weights, err, tc.want)
		}
	}
	two := fstest.MapFS{"a.safetensors": encode(t, a), "b.safetensors": encode(t, b)}
	if _, err := ReadFS(two, "."); err == nil || !strings.Contains(err.Error(), "found 2 files that end in .safetensors") {
		t.Errorf("two candidates: error %v", err)
	}
	if _, err := ReadFS(fstest.MapFS{}, "."); err == nil || !strings.Contains(err.Error(), "no .safetensors file in this folder") {
		t.Errorf("empty folder: error %v", err)
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
	if f, err := Read(dir); err != nil || len(f.Tensors) != len(sample()) {
		t.Errorf("reading the folder: %v, %v", f, err)
	}
}

// FuzzRead: no input panics, and what is accepted survives a round trip.
func FuzzRead(f *testing.F) {
	var b bytes.Buffer
	if err := Encode(&b, sample()[2:], map[string]string{"a": "b"}); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add(raw(`{"h":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}`, 0x80, 0x3f, 0x49, 0xc0))
	f.Add(raw(`{"\ud83d\ude00":{"dtype":"BOOL","shape":[2],"data_offsets":[0,2]}}`, 1, 0))
	f.Add([]byte("PK\x03\x04\x00\x00\x08\x08\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, in []byte) {
		file, err := ReadBytes(in)
		if err != nil {
			return
		}
		total := 0
		for _, x := range file.Tensors {
			total += len(x.Data)
		}
		if total > len(in) {
			t.Fatalf("%d values from %d bytes", total, len(in))
		}
		var out bytes.Buffer
		if err := Encode(&out, file.Tensors, file.Metadata); err != nil {
			for _, x := range file.Tensors {
				if x.Name == "" {
					return // readable by the specification, but we do not write it
				}
			}
			t.Fatal(err)
		}
		if _, err := ReadBytes(out.Bytes()); err != nil {
			t.Fatal(err)
		}
	})
}
