package jsonfile

import (
	"errors"
	"io/fs"
	"testing"
	"testing/fstest"
)

// Absent keys keep their values; what is wrong is said in terms of the file.
func TestRead(t *testing.T) {
	t.Parallel()
	type config struct {
		Size int    `json:"size"`
		Name string `json:"name"`
	}
	for _, c := range []struct {
		content string
		strict  bool
		want    string // the error; empty for none
	}{
		{`{"name": "x"}`, true, ""},
		{`{"name": "x", "other": 1}`, false, ""},
		{`{"name": "x", "other": 1}`, true, `c.json: json: unknown field "other"`},
		{`{"size": "3"}`, false, "c.json: size is a string, want int"},
		{``, false, "c.json: the file is empty"},
		{`{"size": 3`, false, "c.json: the file ends too early"},
		{`{} {}`, false, "c.json: more than one JSON value"},
	} {
		got := config{Size: 7}
		err := Read(fstest.MapFS{"c.json": {Data: []byte(c.content)}}, "c.json", &got, c.strict)
		if c.want != "" && (err == nil || err.Error() != c.want) {
			t.Errorf("%s: error %v, want %s", c.content, err, c.want)
		}
		if c.want == "" && (err != nil || got != config{7, "x"}) {
			t.Errorf("%s: %+v, %v", c.content, got, err)
		}
	}
	if err := Read(fstest.MapFS{}, "c.json", new(config), false); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v, want one of a missing file", err)
	}
}
