package safetensors

import (
	"bytes"
	"strings"
	"testing"
	"testing/fstest"
)

func fileOf(t *testing.T, tensors ...Tensor) *fstest.MapFile {
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
			"t/m.safetensors.index.json": index(weights), "t/m-1.safetensors": fileOf(t, b), "t/m-2.safetensors": fileOf(t, a),
		}
	}
	for _, name := range []string{"t", "t/m.safetensors", "t/m.safetensors.index.json"} {
		f, err := ReadFS(fsys(`"a":"m-2.safetensors","b":"m-1.safetensors"`), name)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if all := values(t, f); len(all) != 2 || all[0].Data[0] != 1 || all[1].Data[0] != 2 {
			t.Errorf("%s: read %+v", name, all)
		}
	}
	const where = "t/m.safetensors.index.json: "
	for _, tc := range []struct{ weights, want string }{
		{`"a":"../m-2.safetensors"`, where + `weight_map "a" must name a .safetensors file in the same folder, found "../m-2.safetensors"`},
		{`"a":"..\\m-2.safetensors"`, where + `weight_map "a" must name a .safetensors file in the same folder, found "..\\m-2.safetensors"`},
		{`"a":"m.bin"`, where + `weight_map "a" must name a .safetensors file in the same folder, found "m.bin"`},
		{`"a":1`, where + `weight_map "a" must name a .safetensors file in the same folder, found 1`},
		{`"a":"m-2.safetensors","a":"m-1.safetensors"`, where + `tensor "a" is defined twice; duplicate names are not allowed`},
		{`"a":"m-1.safetensors","b":"m-1.safetensors"`, where + `1 tensors that the index puts in m-1.safetensors are not there`},
		{`"a":"m-1.safetensors","b":"m-2.safetensors"`, where + `tensor "b" is in m-1.safetensors, but the index puts it in "m-2.safetensors"`},
		{`"c":"m-3.safetensors"`, "t/m-3.safetensors: file does not exist"},
	} {
		if _, err := ReadFS(fsys(tc.weights), "t"); err == nil || err.Error() != tc.want {
			t.Errorf("weight_map {%s}: error\n got %v\nwant %s", tc.weights, err, tc.want)
		}
	}
	good := `"weight_map":{"a":"m-2.safetensors","b":"m-1.safetensors"}`
	for _, tc := range []struct{ index, want string }{
		{``, "not an index: header must begin with '{', found nothing"},
		{`{}`, "no weight_map"},
		{`{"weight_map":[]}`, "weight_map must be an object, found []"},
		{`{` + good + `,` + good + `}`, "weight_map is given twice"},
		{`{` + good + `,"metadata":7}`, "metadata: must be an object, found 7"},
		{`{` + good + `,"metadata":{"total_size":8.5}}`, "metadata: total_size must be a whole number >= 0, found 8.5"},
		{`{` + good + `,"metadata":{"total_size":12}}`, "metadata total_size is 12, but the tensors have 8 bytes; correct or remove it"},
		{`{"weight_map":{"b":"m-1.safetensors","c":"m-1.safetensors"}}`, "1 tensors that the index puts in m-1.safetensors are not there"},
		{`{"weight_map":{"c":"m-1.safetensors"}}`, `tensor "b" is in m-1.safetensors, but the index does not list it`},
	} {
		files := fsys("")
		files["t/m.safetensors.index.json"] = &fstest.MapFile{Data: []byte(tc.index)}
		if _, err := ReadFS(files, "t"); err == nil || err.Error() != where+tc.want {
			t.Errorf("index %s: error\n got %v\nwant %s", tc.index, err, tc.want)
		}
	}
	two := fstest.MapFS{"a.safetensors": fileOf(t, a), "b.safetensors": fileOf(t, b)}
	if _, err := ReadFS(two, "."); err == nil || !strings.Contains(err.Error(), "found 2 files that end in .safetensors") {
		t.Errorf("two candidates: error %v", err)
	}
	if _, err := ReadFS(fstest.MapFS{}, "."); err == nil || !strings.Contains(err.Error(), "no .safetensors file in this folder") {
		t.Errorf("empty folder: error %v", err)
	}
}
