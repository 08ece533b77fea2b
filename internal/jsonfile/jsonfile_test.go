package jsonfile

import (
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"math"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"flowgrpo/internal/costtest"
)

type inner struct {
	Size  int     `json:"size"`
	Scale float64 `json:"scale"`
}

// everything has a field of every kind that files are decoded into.
type everything struct {
	inner
	Name   string          `json:"name"`
	Size   *int            `json:"size"` // hides that of inner
	On     bool            `json:"on"`
	IDs    []uint8         `json:"-"`
	Bytes  [2]uint8        `json:"bytes"`
	List   []inner         `json:"list"`
	Map    map[string]int8 `json:"map"`
	Raw    json.RawMessage `json:"raw"`
	Any    any             `json:"any"`
	Number json.Number     `json:"number"`
	Time   *time.Time      `json:"time"`
	Level  slog.Level      `json:"level"`
	Plain  string
}

func TestDecode(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		content string
		strict  bool
		want    string // the error; empty for none
	}{
		{`{"name": "x", "size": 3, "scale": 2, "on": true, "bytes": [1, 255], "list": [{"size": 1}], "map": {"a": -128}, "Plain": "y"}`, true, ""},
		{" \n{}\r\n", true, ""},
		{"\v{}", false, `c.json:1:1: not JSON: invalid character '\v' looking for beginning of value`},
		{"\n\n {]", false, `c.json:3:3: not JSON: invalid character ']' looking for beginning of object key string`},
		{`{"name": "x", "other": {"a": [{"b": null}]}}`, false, ""},
		{`{"name": "x", "othr": 1}`, true, `c.json: unknown key "othr"`},
		{`{"nam": "x"}`, true, `c.json: unknown key "nam"; did you mean "name"?`},
		{`{"list": [{}, {"siz": 1}]}`, true, `c.json: unknown key "list[1].siz"; did you mean "size"?`},
		{`{"Name": "x"}`, false, `c.json: key "Name": keys are case-sensitive; did you mean "name"?`},
		{`{"name": "x", "NAME": "y"}`, false, `c.json: key "NAME": keys are case-sensitive; did you mean "name"?`},
		{`{"name": "x", "n\u0061me": "y"}`, false, `c.json: key "name" appears twice`},
		{`{"other": {"a": {"b": 1, "b": 1}}}`, false, `c.json: key "other.a.b" appears twice`},
		{`{"map": {"a": 1, "A": 1}}`, true, ""},
		{`{"map": {"a": 1, "a": 1}}`, false, `c.json: key "map.a" appears twice`},
		{`{"raw": [{"a": 1, "a": 1}]}`, false, `c.json: key "raw[0].a" appears twice`},
		{`{"any": {"a": {"\n": 1, "\n": 1}}}`, false, `c.json: key "any.a.\n" appears twice`},
		{`{"size": "3"}`, false, `c.json: size is "3", want a whole number`},
		{`{"size": 3.0}`, false, `c.json: size is 3.0, want a whole number`},
		{`{"size": 1e2}`, false, `c.json: size is 1e2, want a whole number`},
		{`{"size": 9223372036854775808}`, false, `c.json: size is 9223372036854775808, want a whole number`},
		{`{"scale": 1e999}`, false, `c.json: scale is 1e999, want a finite number`},
		{`{"scale": NaN}`, false, `c.json:1:11: not JSON: invalid character 'N' looking for beginning of value`},
		{`{"scale": "1"}`, false, `c.json: scale is "1", want a finite number`},
		{`{"name": 7}`, false, `c.json: name is 7, want text`},
		{`{"name": {"a": [1,` + "\n\n" + ` 2]}}`, false, `c.json: name is {"a": [1, 2]}, want text`},
		{`{"name": [` + strings.Repeat("1,", 100) + `1]}`, false, `c.json: name is [1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1…, want text`},
		{`{"on": 1}`, false, `c.json: on is 1, want true or false`},
		{`{"on": "true"}`, false, `c.json: on is "true", want true or false`},
		{`{"bytes": [1, 256]}`, false, `c.json: bytes[1] is 256, want a whole number of 8 bits, not negative`},
		{`{"bytes": [1, -1]}`, false, `c.json: bytes[1] is -1, want a whole number of 8 bits, not negative`},
		{`{"map": {"a": 128}}`, false, `c.json: map.a is 128, want a whole number`},
		{`{"list": {"size": 1}}`, false, `c.json: list is {"size": 1}, want an array`},
		{`{"list": [[]]}`, false, `c.json: list[0] is [], want an object`},
		{`[1]`, false, `c.json: found [1], want an object`},
		{`null`, true, `c.json: found null, want an object`},
		{`{"size": null, "name": null}`, false, ``},
		{`{"size": null, "list": null, "map": null, "raw": null, "any": null}`, true, ``},
		{`{"name": null}`, true, `c.json: name is null, want text`},
		{`{"time": "2024-01-01T00:00:00Z", "level": "WARN"}`, true, ``},
		{`{"time": 3}`, true, `c.json: Time.UnmarshalJSON: input is not a JSON string`},
		{`{"level": "none"}`, true, `c.json: slog: level string "none": unknown name`},
		{`{"number": "x"}`, false, `c.json: json: invalid number literal, trying to unmarshal "\"x\"" into Number`},
		{``, false, "c.json: is empty"},
		{" \n", false, "c.json: is empty"},
		{`{"size": 3`, false, "c.json: ends too early"},
		{`{} {}`, false, "c.json:1:4: more than one JSON value"},
		{"{\n  \"a\": 1,\n  b: 2\n}", false, "c.json:3:3: not JSON: invalid character 'b' looking for beginning of object key string"},
		{"{\"a\": \"x\x00\"}", false, `c.json:1:9: not JSON: invalid character '\x00' in string literal`},
		{"{\"a\":\n \"x\xff\"}", false, "c.json:2:4: this is not UTF-8 text"},
		{`{"a": "\ud800"}`, false, "c.json:1:8: half of a surrogate pair is no character"},
		{`{"a": ` + strings.Repeat("[", 31) + strings.Repeat("]", 31) + `, "b": "[[["}`, false, ""},
		{`{"a": ` + strings.Repeat("[", 32) + strings.Repeat("]", 32) + `}`, false, "c.json:1:38: nested deeper than 32 levels"},
		{strings.Repeat("[", 1_000_000), false, "c.json:1:33: nested deeper than 32 levels"},
	} {
		var got everything
		err := Decode("c.json", []byte(c.content), &got, c.strict)
		if c.want == "" && err != nil || c.want != "" && (err == nil || err.Error() != c.want) {
			t.Errorf("%.80s: error\n%v, want\n%s", c.content, err, c.want)
		}
		if unnamed := Decode("", []byte(c.content), &got, c.strict); c.want != "" && (unnamed == nil || !strings.HasSuffix(c.want, unnamed.Error())) {
			t.Errorf("%.80s: error without a name %v", c.content, unnamed)
		}
	}
}

// Absent keys keep their values, and files are bounded.
func TestRead(t *testing.T) {
	t.Parallel()
	got := inner{Size: 7}
	files := fstest.MapFS{"c.json": {Data: []byte(`{"scale": 0.5}`)}, "large.json": {Data: make([]byte, maxSize+1)}}
	if err := Read(files, "c.json", &got, false); err != nil || got != (inner{7, 0.5}) {
		t.Errorf("%+v, %v", got, err)
	}
	if err := Read(files, "none.json", &got, false); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v, want one of a missing file", err)
	}
	if err := Read(files, "large.json", &got, false); err == nil || err.Error() != "large.json: has more than 67108864 bytes" {
		t.Errorf("error %v, want that the file is too large", err)
	}
}

// FuzzDecode: what is accepted is what encoding/json makes of it, and nothing costs too much.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"name": "x", "size": 3, "scale": 2e-3, "on": true, "bytes": [1, 2], "list": [{"size": 1}], "map": {"a": 1}, "raw": [{}], "any": null}`))
	f.Add([]byte(`{"Name": "\ud83d\ude00", "name": 1, "name": [[[[{"a":{"a":1}}]]]]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, strict := range []bool{false, true} {
			var got, want everything
			var err error
			costtest.Bounded(t, len(data), func() { err = Decode("c.json", data, &got, strict) })
			if err != nil {
				if len(err.Error()) > 2*len(data)+200 || strings.Contains(err.Error(), "\n") {
					t.Fatalf("error of %d bytes: %q", len(err.Error()), err)
				}
				continue
			}
			if err := json.Unmarshal(data, &want); err != nil || !reflect.DeepEqual(got, want) {
				t.Fatalf("decoded %+v, encoding/json %+v, %v", got, want, err)
			}
			if math.IsInf(got.Scale, 0) {
				t.Fatal("infinity was accepted")
			}
		}
	})
}
