package safetensors

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"flowgrpo/internal/costtest"
	"flowgrpo/internal/longtest"
)

// FuzzRead: no input panics or costs too much, and what is accepted covers its bytes
// and survives a round trip.
func FuzzRead(f *testing.F) {
	for _, tc := range refused {
		f.Add(tc.file)
	}
	for _, tc := range accepted {
		f.Add(tc.file)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		var file *File
		var tensors []Tensor
		var err error
		costtest.Bounded(t, len(in), func() {
			if file, err = readBytes(in); err != nil {
				return
			}
			for _, e := range file.Entries() {
				x, err := file.Tensor(e.Name)
				if err != nil && e.DType != Bool {
					t.Fatal(err)
				}
				tensors = append(tensors, x)
			}
		})
		if err != nil {
			if file != nil || len(err.Error()) > 1000 || strings.Contains(err.Error(), "\n") {
				t.Fatalf("file %v with the error %q", file, err)
			}
			return
		}
		checkBytes(t, file, len(in))
		checkRoundTrip(t, tensors, file.Metadata)
	})
}

// checkBytes checks that the tensors of f, read from size bytes, are distinct and not
// larger than that.
func checkBytes(t *testing.T, f *File, size int) {
	t.Helper()
	total := 0
	for i, e := range f.Entries() {
		_, bytes, ok := sizeOf(e.Shape, e.DType)
		if !ok {
			t.Fatalf("tensor %q has the size of nothing: %v", e.Name, e.Shape)
		}
		total += bytes
		if i > 0 && f.tensors[i-1].Name >= e.Name {
			t.Fatalf("tensor %q does not follow %q", e.Name, f.tensors[i-1].Name)
		}
	}
	if total > size {
		t.Fatalf("%d bytes of tensors from %d", total, size)
	}
}

func checkRoundTrip(t *testing.T, tensors []Tensor, meta map[string]string) {
	t.Helper()
	if len(tensors) > 0 && tensors[0].Name == "" { // sorted; readable by the specification, but we do not write it
		return
	}
	var out bytes.Buffer
	if err := Encode(&out, tensors, meta); err != nil {
		t.Fatal(err)
	}
	again, err := readBytes(out.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	var second bytes.Buffer
	if err := Encode(&second, values(t, again), again.Metadata); err != nil || !bytes.Equal(out.Bytes(), second.Bytes()) {
		t.Fatalf("a second writing differs: %v", err)
	}
}

// The largest headers cost no more than others, byte for byte.
func TestLargestHeaders(t *testing.T) {
	many, n := strings.Builder{}, 1_200_000
	if longtest.Asked() {
		n *= 10 // to the limit
	}
	for i := range maxTensors {
		fmt.Fprintf(&many, `,"%x":{"dtype":"U8","shape":[],"data_offsets":[%d,%d]}`, i*7919%maxTensors, i, i+1)
	}
	for name, tc := range map[string]struct {
		header string
		data   int
		want   string // the error; "" for none
	}{
		"most tensors":   {"{" + many.String()[1:] + "}", maxTensors, ""},
		"one too many":   {"{" + many.String()[1:] + "," + one("last", "U8", "0", "0,0") + "}", maxTensors, "more tensors than the limit 200000"},
		"most metadata":  {`{"__metadata__":{` + strings.Repeat(`"":"",`, n/3) + `"":""}}`, 0, `__metadata__ "" is defined twice`},
		"longest string": {`{"__metadata__":{"a":"` + strings.Repeat(`\n`, n) + `"}}`, 0, ""},
		"deepest nest":   {`{"a":` + strings.Repeat("[", n) + strings.Repeat("]", n) + `}`, 0, "header is not a JSON object padded with spaces"},
		"longest shape":  {`{"a":{"shape":[1` + strings.Repeat(",1", n) + `]}}`, 0, fmt.Sprintf(`tensor "a": shape has %d entries; the limit is 16`, n+1)},
	} {
		file := raw(tc.header, zeros(tc.data)...)
		costtest.Bounded(t, len(file), func() {
			_, err := readBytes(file)
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || err.Error() != "m.safetensors: "+tc.want) {
				t.Errorf("%s: %v, want %q", name, err, tc.want)
			}
		})
	}
}

// FuzzIndex: no index panics, costs too much, or leads out of its folder.
func FuzzIndex(f *testing.F) {
	f.Add([]byte(`{"metadata":{"total_size":1},"weight_map":{"a":"m-1.safetensors"}}`))
	f.Add([]byte(`{"weight_map":{"a":"../m-1.safetensors"}}`))
	f.Add([]byte(`{"weight_map":{"a":"m-1.safetensors","\u0061":"m-2.safetensors"}}`))
	f.Add([]byte(` {"weight_map":{},"metadata":{"total_size":18446744073709551616}} `))
	shard := raw(`{`+one("a", "U8", "", "0,1")+`}`, 7)
	f.Fuzz(func(t *testing.T, in []byte) {
		files := fstest.MapFS{"d/i.index.json": {Data: in}, "d/m-1.safetensors": {Data: shard}, "m-1.safetensors": {Data: shard}}
		costtest.Bounded(t, len(in), func() {
			file, err := ReadFS(files, "d/i.index.json")
			if err != nil {
				return
			}
			for _, x := range file.tensors {
				if x.source.path != "d/m-1.safetensors" {
					t.Fatalf("tensor %q was read from %s", x.Name, x.source.path)
				}
			}
		})
	})
}
