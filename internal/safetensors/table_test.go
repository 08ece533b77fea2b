package safetensors

import (
	"encoding/binary"
	"math"
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

// sized builds a file from a header length and what follows it.
func sized(n uint64, rest string) []byte {
	return append(binary.LittleEndian.AppendUint64(nil, n), rest...)
}

func zeros(n int) []byte { return make([]byte, n) }

// one is the header entry of a tensor.
func one(name, dtype, shape, offsets string) string {
	return `"` + name + `":{"dtype":"` + dtype + `","shape":[` + shape + `],"data_offsets":[` + offsets + `]}`
}

// readBytes reads a file that is in memory.
func readBytes(b []byte) (*File, error) {
	return ReadFS(fstest.MapFS{"m.safetensors": &fstest.MapFile{Data: b}}, "m.safetensors")
}

// values reads all tensors of f.
func values(t *testing.T, f *File) []Tensor {
	t.Helper()
	var all []Tensor
	for _, e := range f.Entries() {
		x, err := f.Tensor(e.Name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, x)
	}
	return all
}

// refused are files that must not be read, with the whole error. lenient: the
// reference implementation reads the file all the same.
var refused = []struct {
	name    string
	file    []byte
	want    string
	lenient bool
}{
	// The length.
	{"empty", nil, "file has 0 bytes; a safetensors file needs at least 8", false},
	{"short", zeros(7), "file has 7 bytes; a safetensors file needs at least 8", false},
	{"length past the end", sized(1000000, "{}"+strings.Repeat(" ", 56)), "header length 1000000 exceeds the file size 66 (truncated download?)", false},
	{"length one past the end", sized(3, "{}"), "header length 3 exceeds the file size 10 (truncated download?)", false},
	{"length of the whole file", sized(10, "{}"), "header length 10 exceeds the file size 10 (truncated download?)", false},
	{"length 2^63", sized(1<<63, `{}`), "header length 9223372036854775808 exceeds the limit 25000000", false},
	{"length 2^64-1", sized(math.MaxUint64, `{}`), "header length 18446744073709551615 exceeds the limit 25000000", false},
	{"length 2^64-8", sized(math.MaxUint64-7, `{}`), "header length 18446744073709551608 exceeds the limit 25000000", false},
	{"length big-endian", []byte("\x00\x00\x00\x00\x00\x00\x00\x02{}"), "header length 144115188075855872 exceeds the limit 25000000", false},
	{"no header", sized(0, ""), "header must begin with '{', found nothing", false},

	// The grammar.
	{"array", raw(`[]`), "header must begin with '{', found '['", false},
	{"null", raw(`null`), "header must begin with '{', found 'n'", false},
	{"string", raw(`"{}"`), "header must begin with '{', found '\"'", false},
	{"leading space", raw(` {}`), "header must begin with '{', found ' '", true},
	{"leading newline", raw("\n{}"), "header must begin with '{', found '\\n'", true},
	{"BOM", raw("\ufeff{}"), "header must begin with '{', found 'ï'", false},
	{"not UTF-8", raw("{\"a\xff\":1}"), "header is not valid UTF-8 at byte 3", false},
	{"overlong UTF-8", raw("{\"\xc0\xaf\":1}"), "header is not valid UTF-8 at byte 2", false},
	{"surrogate in UTF-8", raw("{\"\xed\xa0\x80\":1}"), "header is not valid UTF-8 at byte 2", false},
	{"lone high surrogate", raw(`{"\ud800":1}`), "header is not valid UTF-8 at byte 2", false},
	{"lone low surrogate", raw(`{"\\\udc00":1}`), "header is not valid UTF-8 at byte 4", false},
	{"high surrogate, then another", raw(`{"\ud800\ud800":1}`), "header is not valid UTF-8 at byte 2", false},
	{"lone surrogate in the metadata", raw(`{"__metadata__":{"a":"\udfff"}}`), "header is not valid UTF-8 at byte 22", false},
	{"control character in a name", raw("{\"a\x01\":1}"), "header is not a JSON object padded with spaces", false},
	{"syntax", raw(`{"a":}`), "header is not a JSON object padded with spaces", false},
	{"unclosed", raw(`{"a":{}`), "header is not a JSON object padded with spaces", false},
	{"trailing comma", raw(`{"a":{},}`), "header is not a JSON object padded with spaces", false},
	{"comment", raw(`{/**/}`), "header is not a JSON object padded with spaces", false},
	{"single quotes", raw(`{'a':1}`), "header is not a JSON object padded with spaces", false},
	{"NaN", raw(`{"a":NaN}`), "header is not a JSON object padded with spaces", false},
	{"leading zero", raw(`{"a":01}`), "header is not a JSON object padded with spaces", false},
	{"two objects", raw(`{}{}`), "header is not a JSON object padded with spaces", false},
	{"padded with newline", raw("{}\n"), "header is not a JSON object padded with spaces", true},
	{"padded with tab", raw("{}\t"), "header is not a JSON object padded with spaces", true},
	{"padded with NUL", raw("{}\x00"), "header is not a JSON object padded with spaces", false},
	{"deep", raw(`{"a":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + `}`), "header is not a JSON object padded with spaces", false},

	// Names and metadata.
	{"duplicate", raw(`{`+one("t", "U8", "", "0,1")+`,`+one("t", "U8", "", "0,1")+`}`, 0), `tensor "t" is defined twice; duplicate names are not allowed`, true},
	{"duplicate by escape", raw(`{`+one("t", "U8", "", "0,1")+`,`+one(`\u0074`, "U8", "", "0,1")+`}`, 0), `tensor "t" is defined twice; duplicate names are not allowed`, true},
	{"duplicate with data of its own", raw(`{`+one("t", "U8", "", "0,1")+`,`+one("t", "U8", "", "1,2")+`}`, 0, 0), `tensor "t" is defined twice; duplicate names are not allowed`, false},
	{"duplicate of no bytes", raw(`{` + one("t", "U8", "0", "0,0") + `,` + one("t", "U8", "0", "0,0") + `}`), `tensor "t" is defined twice; duplicate names are not allowed`, true},
	{"long name", raw(`{`+one(strings.Repeat("n", 1025), "U8", "", "0,1")+`}`, 0), `tensor "` + strings.Repeat("n", 120) + `…": the name has 1025 bytes; the limit is 1024`, true},
	{"metadata number", raw(`{"__metadata__":{"a":1}}`), `__metadata__ "a" must be a string, found 1`, false},
	{"metadata null", raw(`{"__metadata__":{"a":null}}`), `__metadata__ "a" must be a string, found null`, false},
	{"metadata nested", raw(`{"__metadata__":{"a":{"b":"c"}}}`), `__metadata__ "a" must be a string, found {"b":"c"}`, false},
	{"metadata array", raw(`{"__metadata__":[]}`), "__metadata__ must be an object, found []", false},
	{"metadata twice", raw(`{"__metadata__":{},"__metadata__":{}}`), "__metadata__ is given twice", false},
	{"metadata duplicate", raw(`{"__metadata__":{"a":"1","a":"2"}}`), `__metadata__ "a" is defined twice`, true},
	{"metadata that is a tensor", raw(`{`+one("__metadata__", "U8", "", "0,1")+`}`, 0), `__metadata__ "shape" must be a string, found []`, false},

	// Fields.
	{"entry not an object", raw(`{"w":3}`), `tensor "w": must be an object, found 3`, false},
	{"entry an array", raw(`{"w":["F32",[],[0,4]]}`, zeros(4)...), `tensor "w": must be an object, found ["F32",[],[0,4]]`, true},
	{"dtype lower case", raw(`{`+one("w", "f32", "", "0,4")+`}`, zeros(4)...), `tensor "w": unknown dtype "f32" (did you mean "F32"?)`, false},
	{"dtype unsupported", raw(`{`+one("w", "C64", "", "0,8")+`}`, zeros(8)...), `tensor "w": dtype "C64" is not supported; convert the tensor to one of [F64 F32 F16 BF16 F8_E4M3 F8_E5M2 I64 I32 I16 I8 U64 U32 U16 U8 BOOL]`, true},
	{"dtype of less than a byte", raw(`{`+one("w", "F4", "2", "0,1")+`}`, 0), `tensor "w": dtype "F4" is not supported; convert the tensor to one of [F64 F32 F16 BF16 F8_E4M3 F8_E5M2 I64 I32 I16 I8 U64 U32 U16 U8 BOOL]`, true},
	{"dtype unknown, of no elements", raw(`{` + one("w", "X", "0", "0,0") + `}`), `tensor "w": dtype "X" is not supported; convert the tensor to one of [F64 F32 F16 BF16 F8_E4M3 F8_E5M2 I64 I32 I16 I8 U64 U32 U16 U8 BOOL]`, false},
	{"dtype number", raw(`{"w":{"dtype":32,"shape":[],"data_offsets":[0,1]}}`, 0), `tensor "w": dtype must be a string, found 32`, false},
	{"shape negative", raw(`{`+one("w", "F32", "-1", "0,4")+`}`, zeros(4)...), `tensor "w": shape[0] must be a whole number >= 0, found -1`, false},
	{"shape -0", raw(`{` + one("w", "F32", "-0", "0,0") + `}`), `tensor "w": shape[0] must be a whole number >= 0, found -0`, false},
	{"shape fraction", raw(`{`+one("w", "F32", "2,1.0", "0,4")+`}`, zeros(4)...), `tensor "w": shape[1] must be a whole number >= 0, found 1.0`, false},
	{"shape exponent", raw(`{`+one("w", "F32", "1e0", "0,4")+`}`, zeros(4)...), `tensor "w": shape[0] must be a whole number >= 0, found 1e0`, false},
	{"shape string", raw(`{`+one("w", "F32", `"1"`, "0,4")+`}`, zeros(4)...), `tensor "w": shape[0] must be a whole number >= 0, found "1"`, false},
	{"shape bool", raw(`{`+one("w", "F32", "true", "0,4")+`}`, zeros(4)...), `tensor "w": shape[0] must be a whole number >= 0, found true`, false},
	{"shape nested", raw(`{`+one("w", "F32", "[1]", "0,4")+`}`, zeros(4)...), `tensor "w": shape[0] must be a whole number >= 0, found [1]`, false},
	{"shape null", raw(`{"w":{"dtype":"F32","shape":null,"data_offsets":[0,4]}}`, zeros(4)...), `tensor "w": shape must be an array, found null`, false},
	{"shape number", raw(`{"w":{"dtype":"F32","shape":1,"data_offsets":[0,4]}}`, zeros(4)...), `tensor "w": shape must be an array, found 1`, false},
	{"shape 2^63", raw(`{`+one("w", "F32", "9223372036854775808", "0,4")+`}`, zeros(4)...), `tensor "w": shape[0] is too large: 9223372036854775808`, false},
	{"shape 2^64", raw(`{`+one("w", "F32", "18446744073709551616", "0,4")+`}`, zeros(4)...), `tensor "w": shape[0] is too large: 18446744073709551616`, false},
	{"rank 17", raw(`{`+one("w", "F32", "1"+strings.Repeat(",1", 16), "0,4")+`}`, zeros(4)...), `tensor "w": shape has 17 entries; the limit is 16`, true},
	{"rank 300", raw(`{`+one("w", "F32", "1"+strings.Repeat(",1", 299), "0,4")+`}`, zeros(4)...), `tensor "w": shape has 300 entries; the limit is 16`, true},
	{"shape product", raw(`{`+one("w", "F32", "4294967296,4294967296", "0,4")+`}`, zeros(4)...), `tensor "w": shape [4294967296 4294967296] overflows the size computation`, false},
	{"shape product that wraps to 0", raw(`{` + one("w", "F32", "4294967296,4294967296", "0,0") + `}`), `tensor "w": shape [4294967296 4294967296] overflows the size computation`, false},
	{"byte size", raw(`{`+one("w", "F32", "2305843009213693952", "0,4")+`}`, zeros(4)...), `tensor "w": shape [2305843009213693952] overflows the size computation`, false},
	{"byte size that wraps to 0", raw(`{` + one("w", "F32", "4611686018427387904", "0,0") + `}`), `tensor "w": shape [4611686018427387904] overflows the size computation`, false},
	{"no dtype", raw(`{"w":{"shape":[1],"data_offsets":[0,4]}}`, zeros(4)...), `tensor "w": needs dtype, shape and data_offsets`, false},
	{"no shape", raw(`{"w":{"dtype":"F32","data_offsets":[0,4]}}`, zeros(4)...), `tensor "w": needs dtype, shape and data_offsets`, false},
	{"no offsets", raw(`{"w":{"dtype":"F32","shape":[1]}}`, zeros(4)...), `tensor "w": needs dtype, shape and data_offsets`, false},
	{"shape twice", raw(`{"w":{"dtype":"F32","shape":[1],"shape":[2],"data_offsets":[0,4]}}`, zeros(4)...), `tensor "w": "shape" is defined twice`, false},
	{"unknown field", raw(`{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1}}`, zeros(4)...), `tensor "w": unknown field "x"`, true},
	{"field in other case", raw(`{"w":{"DType":"F32","shape":[1],"data_offsets":[0,4]}}`, zeros(4)...), `tensor "w": unknown field "DType"`, false},

	// Ranges.
	{"offsets reversed", raw(`{`+one("w", "F32", "1", "4,0")+`}`, zeros(4)...), `tensor "w": data_offsets [4 0] are not a range inside the 4 data bytes`, false},
	{"offsets past the end", raw(`{`+one("w", "F32", "1", "4,8")+`}`, zeros(4)...), `tensor "w": data_offsets [4 8] are not a range inside the 4 data bytes`, false},
	{"three offsets", raw(`{`+one("w", "F32", "1", "0,4,4")+`}`, zeros(4)...), `tensor "w": data_offsets [0 4 4] are not a range inside the 4 data bytes`, false},
	{"one offset", raw(`{`+one("w", "F32", "1", "0")+`}`, zeros(4)...), `tensor "w": data_offsets [0] are not a range inside the 4 data bytes`, false},
	{"no offset", raw(`{`+one("w", "F32", "1", "")+`}`, zeros(4)...), `tensor "w": data_offsets [] are not a range inside the 4 data bytes`, false},
	{"offset negative", raw(`{`+one("w", "F32", "1", "-4,0")+`}`, zeros(4)...), `tensor "w": data_offsets[0] must be a whole number >= 0, found -4`, false},
	{"offset 2^64", raw(`{`+one("w", "F32", "1", "18446744073709551616,18446744073709551620")+`}`, zeros(4)...), `tensor "w": data_offsets[0] is too large: 18446744073709551616`, false},
	{"size", raw(`{`+one("w", "F32", "2,3", "0,20")+`}`, zeros(20)...), `tensor "w": F32 [2 3] needs 24 bytes, data_offsets give 20`, false},
	{"size of a scalar", raw(`{` + one("w", "F32", "", "0,0") + `}`), `tensor "w": F32 [] needs 4 bytes, data_offsets give 0`, false},
	{"size of no elements", raw(`{`+one("w", "F32", "0", "0,4")+`}`, zeros(4)...), `tensor "w": F32 [0] needs 0 bytes, data_offsets give 4`, false},
	{"truncated", raw(`{`+one("w", "F32", "2", "0,8")+`}`, zeros(7)...), `tensor "w": data_offsets [0 8] are not a range inside the 7 data bytes`, false},
	{"hole", raw(`{`+one("a", "F32", "1", "0,4")+`,`+one("b", "F32", "1", "8,12")+`}`, zeros(12)...), `bytes 4..8 belong to no tensor (holes are not allowed)`, false},
	{"hole of one byte", raw(`{`+one("a", "U8", "1", "0,1")+`,`+one("b", "U8", "1", "2,3")+`}`, zeros(3)...), `bytes 1..2 belong to no tensor (holes are not allowed)`, false},
	{"hole at the start", raw(`{`+one("a", "F32", "1", "4,8")+`}`, zeros(8)...), `bytes 0..4 belong to no tensor (holes are not allowed)`, false},
	{"hole before a tensor of no bytes", raw(`{`+one("a", "U8", "0", "1,1")+`}`, 0), `bytes 0..1 belong to no tensor (holes are not allowed)`, false},
	{"overlap", raw(`{`+one("a", "F32", "2", "0,8")+`,`+one("b", "F32", "2", "4,12")+`}`, zeros(12)...), `bytes 4..8 belong to both "a" and "b"`, false},
	{"overlap inside", raw(`{`+one("a", "F32", "3", "0,12")+`,`+one("b", "F32", "1", "4,8")+`}`, zeros(12)...), `bytes 4..8 belong to both "a" and "b"`, false},
	{"aliased", raw(`{`+one("a", "F32", "1", "0,4")+`,`+one("b", "F32", "1", "0,4")+`}`, zeros(4)...), `bytes 0..4 belong to both "a" and "b"`, false},
	{"bytes at the end", raw(`{}`, zeros(34)...), `34 bytes after the last tensor`, false},
	{"a zip archive at the end", raw(`{`+one("w", "U8", "", "0,1")+`}`, []byte("\x00PK\x05\x06"+string(zeros(18)))...), `22 bytes after the last tensor`, false},
	{"HTML at the end", raw(`{}`, []byte("<script>")...), `8 bytes after the last tensor`, false},

	// Other formats.
	{"PyTorch archive", []byte("PK\x03\x04\x00\x00\x08\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x10\x00\x12\x00archive/data.pkl"), "this is a PyTorch pickle file, which can run code when loaded; convert it to safetensors first", false},
	{"Keras archive", []byte("PK\x03\x04\x14\x00\x00\x00\x00\x00\x00\x00!\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x0d\x00\x00\x00metadata.json"), "this is a Keras file, which can run code when loaded; convert it to safetensors first", false},
	{"zip", []byte("PK\x03\x04\x00\x00\x08\x08\x00\x00\x00\x00"), "this is a zip archive (PyTorch pickle, NumPy npz or Keras), which may run code when loaded; convert it to safetensors first", false},
	{"PyTorch pickle", []byte("\x80\x02\x8a\x0al\xfc\x9c\x46\xf9"), "this is a PyTorch pickle file, which can run code when loaded; convert it to safetensors first", false},
	{"pickle", []byte("\x80\x04\x95\x04\x00\x00\x00\x00\x00\x00\x00]"), "this is a pickle file, which can run code when loaded; convert it to safetensors first", false},
	{"GGUF", []byte("GGUF\x03\x00\x00\x00\x00\x00"), "this is a GGUF file (quantised for llama.cpp); convert it to safetensors first", false},
	{"HDF5", []byte("\x89HDF\r\n\x1a\n\x00"), "this is an HDF5 file (Keras or TensorFlow), which can run code when loaded; convert it to safetensors first", false},
	{"NumPy", []byte("\x93NUMPY\x01\x00v\x00"), "this is a NumPy array; convert it to safetensors first", false},
	{"LFS pointer", []byte("version https://git-lfs.github.com/spec/v1\n"), `this is a Git LFS pointer, not the file itself; run "git lfs pull"`, false},
	{"HTML", []byte("<!DOCTYPE html><html>"), "this is an HTML page, not the file itself; the download failed", false},
}

// Every file of the table is refused, with exactly this error.
func TestRefused(t *testing.T) {
	for _, tc := range refused {
		f, err := readBytes(tc.file)
		if err == nil {
			t.Errorf("%s: accepted: %+v", tc.name, f.Entries())
			continue
		}
		if got, want := err.Error(), "m.safetensors: "+tc.want; got != want {
			t.Errorf("%s: error\n got %s\nwant %s", tc.name, got, want)
		}
	}
}

// accepted are files that must be read, with what is in them.
var accepted = []struct {
	name string
	file []byte
	want []Tensor
}{
	{"nothing", raw(`{}      `), nil},
	{"metadata alone", raw(`{"__metadata__":{"__metadata__":""}}`), nil},
	{"no bytes", raw(`{` + one("b", "F32", "0,7", "0,0") + `,` + one("a", "F32", "0", "0,0") + `}`), []Tensor{{Name: "a", DType: F32, Shape: []int{0}}, {Name: "b", DType: F32, Shape: []int{0, 7}}}},
	{"no bytes in the middle", raw(`{`+one("b", "U8", "0", "1,1")+`,`+one("a", "U8", "1", "0,1")+`,`+one("c", "U8", "1", "1,2")+`}`, 1, 2),
		[]Tensor{{Name: "a", DType: U8, Shape: []int{1}, Data: []float32{1}}, {Name: "b", DType: U8, Shape: []int{0}}, {Name: "c", DType: U8, Shape: []int{1}, Data: []float32{2}}}},
	{"scalar", raw(`{`+one("s", "F32", "", "0,4")+`}`, 0, 0, 0x80, 0x3f), []Tensor{{Name: "s", DType: F32, Data: []float32{1}}}},
	{"rank 16", raw(`{`+one("s", "U8", "1"+strings.Repeat(",1", 15), "0,1")+`}`, 3), []Tensor{{Name: "s", DType: U8, Shape: []int{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, Data: []float32{3}}}},
	{"any field order, unsorted, unaligned", raw(`{"z":{"data_offsets":[0,1],"dtype":"U8","shape":[1]},"a":{"shape":[1],"dtype":"F32","data_offsets":[1,5]}}`, 200, 0, 0, 0, 0x40),
		[]Tensor{{Name: "a", DType: F32, Shape: []int{1}, Data: []float32{2}}, {Name: "z", DType: U8, Shape: []int{1}, Data: []float32{200}}}},
	{"spaces inside", raw("{ \"s\" :\t{ \"dtype\" : \"U8\" ,\n\"shape\" : [ 1 , 2 ] , \"data_offsets\":[ 0 , 2 ] } } ", 1, 2), []Tensor{{Name: "s", DType: U8, Shape: []int{1, 2}, Data: []float32{1, 2}}}},
	{"escaped field", raw(`{"s":{"\u0064type":"\u00558","shape":[],"data_offsets":[0,1]}}`, 9), []Tensor{{Name: "s", DType: U8, Data: []float32{9}}}},
	{"names that look like code", raw(`{`+one(`../../x`, "U8", "", "0,1")+`,`+one(`<b>`, "U8", "", "1,2")+`,`+one(`{\"[],:`, "U8", "", "2,3")+`,`+one(`\u0000`, "U8", "", "3,4")+`}`, 1, 2, 3, 4),
		[]Tensor{{Name: "\x00", DType: U8, Data: []float32{4}}, {Name: "../../x", DType: U8, Data: []float32{1}}, {Name: "<b>", DType: U8, Data: []float32{2}}, {Name: `{"[],:`, DType: U8, Data: []float32{3}}}},
	{"surrogate pair", raw(`{`+one(`\ud83d\ude00`, "BOOL", "2", "0,2")+`}`, 1, 0), []Tensor{{Name: "😀", DType: Bool, Shape: []int{2}, Data: []float32{1, 0}}}},
	{"F16", raw(`{`+one("h", "F16", "7", "0,14")+`}`, 0x00, 0x3c, 0x00, 0xc0, 0xff, 0x7b, 0x01, 0x00, 0xff, 0x03, 0x00, 0x80, 0x00, 0x7c),
		[]Tensor{{Name: "h", DType: F16, Shape: []int{7}, Data: []float32{1, -2, 65504, 0x1p-24, 0x1p-14 - 0x1p-24, float32(math.Copysign(0, -1)), float32(math.Inf(1))}}}},
	{"BF16", raw(`{`+one("h", "BF16", "2", "0,4")+`}`, 0x80, 0x3f, 0x49, 0xc0), []Tensor{{Name: "h", DType: BF16, Shape: []int{2}, Data: []float32{1, -3.140625}}}},
	{"F8_E4M3", raw(`{`+one("h", "F8_E4M3", "4", "0,4")+`}`, 0x38, 0xc0, 0x7e, 0x01), []Tensor{{Name: "h", DType: F8E4M3, Shape: []int{4}, Data: []float32{1, -2, 448, 0x1p-9}}}},
	{"F8_E5M2", raw(`{`+one("h", "F8_E5M2", "4", "0,4")+`}`, 0x3c, 0xc0, 0x7b, 0x01), []Tensor{{Name: "h", DType: F8E5M2, Shape: []int{4}, Data: []float32{1, -2, 57344, 0x1p-16}}}},
	{"I64", raw(`{`+one("i", "I64", "1", "0,8")+`}`, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), []Tensor{{Name: "i", DType: I64, Shape: []int{1}, Data: []float32{-1}, Data64: []float64{-1}}}},
	{"U64", raw(`{`+one("i", "U64", "1", "0,8")+`}`, 0, 0, 0, 0, 0, 0, 0, 0x80), []Tensor{{Name: "i", DType: U64, Shape: []int{1}, Data: []float32{1 << 63}, Data64: []float64{1 << 63}}}},
	{"I32", raw(`{`+one("i", "I32", "1", "0,4")+`}`, 1, 0, 0, 1), []Tensor{{Name: "i", DType: I32, Shape: []int{1}, Data: []float32{1 << 24}, Data64: []float64{1<<24 + 1}}}},
	{"U32", raw(`{`+one("i", "U32", "1", "0,4")+`}`, 0xff, 0xff, 0xff, 0xff), []Tensor{{Name: "i", DType: U32, Shape: []int{1}, Data: []float32{1 << 32}, Data64: []float64{1<<32 - 1}}}},
	{"I16 and U16", raw(`{`+one("i", "I16", "1", "0,2")+`,`+one("u", "U16", "1", "2,4")+`}`, 0xfe, 0xff, 0xfe, 0xff),
		[]Tensor{{Name: "i", DType: I16, Shape: []int{1}, Data: []float32{-2}}, {Name: "u", DType: U16, Shape: []int{1}, Data: []float32{65534}}}},
	{"I8", raw(`{`+one("i", "I8", "1", "0,1")+`}`, 0x80), []Tensor{{Name: "i", DType: I8, Shape: []int{1}, Data: []float32{-128}}}},
	{"F64", raw(`{`+one("d", "F64", "1", "0,8")+`}`, 1, 0, 0, 0, 0, 0, 0xf0, 0x3f), []Tensor{{Name: "d", DType: F64, Shape: []int{1}, Data: []float32{1}, Data64: []float64{math.Nextafter(1, 2)}}}},
}

// Every file of the table is read, to exactly these values.
func TestAccepted(t *testing.T) {
	for _, tc := range accepted {
		f, err := readBytes(tc.file)
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		if d := cmp.Diff(tc.want, values(t, f), cmpopts.EquateEmpty()); d != "" {
			t.Errorf("%s: (-want +got)\n%s", tc.name, d)
		}
	}
	if n := len(refused) + len(accepted); n < 71 {
		t.Errorf("%d files in the two tables, want at least 71", n)
	}
}

// A BOOL of another value than 0 and 1 is found when it is read.
func TestBool(t *testing.T) {
	f, err := readBytes(raw(`{`+one("w", "BOOL", "2", "0,2")+`}`, 1, 2))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Tensor("w"); err == nil || err.Error() != `m.safetensors: tensor "w": element 1 is 2; a BOOL is 0 or 1` {
		t.Errorf("error %v", err)
	}
}
