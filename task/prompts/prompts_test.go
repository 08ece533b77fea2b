package prompts

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"flowgrpo/internal/costtest"
	"flowgrpo/task"
)

// write puts data into a file called name of a fresh folder.
func write(t testing.TB, name, data string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// load returns the prompts of one file.
func load(path string) ([]task.Prompt, error) {
	records, err := read(path)
	return number(records), err
}

func TestLoad(t *testing.T) {
	t.Parallel()
	geneval := `{"tag": "colors", "include": [{"class": "circle", "count": 1, "color": "red"}], "prompt": "a red circle"}`
	for _, c := range []struct {
		name, data string
		want       []task.Prompt
		reason     string
	}{
		{"a.txt", "a cat\n\n  a dog \n", []task.Prompt{{ID: 0, Text: "a cat"}, {ID: 1, Text: "a dog"}}, "one per line, blank ones skipped"},
		{"a.TXT", "\ufeffa cat\r\na dog", []task.Prompt{{ID: 0, Text: "a cat"}, {ID: 1, Text: "a dog"}}, "byte order mark, CRLF, upper-case extension"},
		{"a.txt", "a cat\na cat\n", []task.Prompt{{ID: 0, Text: "a cat"}, {ID: 1, Text: "a cat"}}, "equal texts are two prompts"},
		{"a.txt", `{"prompt":"x"}`, []task.Prompt{{Text: `{"prompt":"x"}`}}, "a text file holds text"},
		{"a.jsonl", `{"prompt":"a","category":"c","metadata":{"text":"T"}}`,
			[]task.Prompt{{Text: "a", Category: "c", Metadata: []byte(`{"text":"T"}`)}}, "all keys but the id"},
		{"a.jsonl", "{\"prompt\":\"a\",\"id\":7}\n{\"prompt\":\"b\",\"id\":3}\n", []task.Prompt{{ID: 7, Text: "a"}, {ID: 3, Text: "b"}}, "own IDs, order of the file"},
		{"a.jsonl", geneval, []task.Prompt{{Text: "a red circle", Category: "colors", Metadata: []byte(geneval)}}, "GenEval's own format"},
	} {
		got, err := load(write(t, c.name, c.data))
		if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
			t.Errorf("load(%s %q): %v, %s\nreason: %s", c.name, c.data, err, diff, c.reason)
		}
	}
}

func TestLoadErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, data, want string }{
		{"a.txt", "", "a.txt: no prompt in it"},
		{"a.txt", "\n \n", "a.txt: no prompt in it"},
		{"a.txt", "a\n\xff\n", "a.txt:2: invalid UTF-8 at byte 0; save the file as UTF-8"},
		{"a.csv", "a", `a.csv: prompts come from .txt (one per line) or .jsonl files, not ".csv"`},
		{"a.jsonl", "\n{\"prompt\":\"a\"}\nb", "a.jsonl:3: not JSON"},
		{"a.jsonl", `{"text":"a"}`, `a.jsonl:1: no "prompt"`},
		{"a.jsonl", `{"prompt":" "}`, `a.jsonl:1: key "prompt" is blank`},
		{"a.jsonl", `{"prompt":3}`, `a.jsonl:1: key "prompt" is 3, want a string`},
		{"a.jsonl", `{"prompt":null}`, `a.jsonl:1: key "prompt" is null, want a string`},
		{"a.jsonl", `{"prompt":"a","metdata":{}}`, `a.jsonl:1: unknown key "metdata", want one of prompt, id, category, metadata`},
		{"a.jsonl", `{"prompt":"a","metadata":"x"}`, `a.jsonl:1: key "metadata" is "x", want an object`},
		{"a.jsonl", `{"prompt":"a","metadata":null}`, `a.jsonl:1: key "metadata" is null, want an object`},
		{"a.jsonl", `{"prompt":"a","category":1}`, `a.jsonl:1: key "category" is 1, want a string`},
		{"a.jsonl", `{"prompt":"a","id":-1}`, `a.jsonl:1: key "id" is -1, want a whole number from 0 to 4294967295`},
		{"a.jsonl", `{"prompt":"a","id":4294967296}`, `a.jsonl:1: key "id" is 4294967296`},
		{"a.jsonl", `{"prompt":"a","id":1.5}`, `a.jsonl:1: key "id" is 1.5`},
		{"a.jsonl", `{"prompt":"a","id":null}`, `a.jsonl:1: key "id" is null`},
		{"a.jsonl", "{\"prompt\":\"a\",\"id\":1}\n{\"prompt\":\"b\",\"id\":1}", "a.jsonl:2: id 1 is taken by line 1"},
		{"a.jsonl", "{\"prompt\":\"a\"}\n{\"prompt\":\"b\",\"id\":1}", `a.jsonl:2: some lines have an "id", some have none`},
		{"a.jsonl", `{"tag":3,"include":[],"prompt":"a"}`, `a.jsonl:1: key "tag" is 3, want a string`},
		{"a.jsonl", `{"prompt":"a","prompt":"b"}`, `a.jsonl:1: key "prompt" appears twice`},
	} {
		_, err := load(write(t, c.name, c.data))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("load(%s %q): error %v, want %s", c.name, c.data, err, c.want)
		}
	}
	if _, err := load("nowhere.txt"); err == nil || err.Error() != "prompts: nowhere.txt: file does not exist" {
		t.Errorf("Load of a missing file: %v", err)
	}
}

func hundred() string {
	var b strings.Builder
	for i := range 100 {
		fmt.Fprintf(&b, "prompt %d\n", i)
	}
	return b.String()
}

func TestOpenSplitsByFraction(t *testing.T) {
	t.Parallel()
	path := write(t, "a.txt", hundred())
	s, err := Open(Options{Train: path, HeldOutFraction: .2, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	train, held := s.Prompts(task.Train), s.Prompts(task.HeldOut)
	if len(train)+len(held) != 100 || len(held) < 8 || len(held) > 32 { // 3 standard deviations
		t.Errorf("%d + %d prompts of 100, want about 80 + 20", len(train), len(held))
	}
	for _, list := range [][]task.Prompt{train, held} {
		for i, p := range list {
			if p.ID != uint32(i) {
				t.Errorf("prompt %d of a split has ID %d", i, p.ID)
			}
		}
	}
	// More prompts in another order must not move any of the old ones.
	more := write(t, "b.txt", "new\nother\n"+hundred())
	s2, err := Open(Options{Train: more, HeldOutFraction: .2, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	in := map[string]bool{}
	for _, p := range s2.Prompts(task.HeldOut) {
		in[p.Text] = true
	}
	for _, p := range held {
		if !in[p.Text] {
			t.Errorf("%q moved out of the held-out split when prompts were added", p.Text)
		}
	}
}

func TestOpenTwoFiles(t *testing.T) {
	t.Parallel()
	train := write(t, "train.txt", "a\nb\n")
	s, err := Open(Options{Train: train, HeldOut: write(t, "held.txt", "c\n")})
	if err != nil || len(s.Prompts(task.Train)) != 2 || len(s.Prompts(task.HeldOut)) != 1 {
		t.Fatalf("Open: %v", err)
	}
	_, err = Open(Options{Train: train, HeldOut: write(t, "held.txt", "c\nb\n")})
	if err == nil || !strings.Contains(err.Error(), `held.txt:2: "b" is a training prompt too, at `) || !strings.Contains(err.Error(), "train.txt:2") {
		t.Errorf("a prompt in both files: error %v", err)
	}
	s.Prompts(task.Train)[0].Text = "changed"
	if s.Prompts(task.Train)[0].Text != "a" {
		t.Error("Prompts must return a slice of the caller's own")
	}
}

func TestOpenErrors(t *testing.T) {
	t.Parallel()
	path := write(t, "a.txt", "only one\n")
	if _, err := Open(Options{Train: path, HeldOutFraction: .5}); err == nil || !strings.Contains(err.Error(), "to train on and") {
		t.Errorf("one prompt cannot be split: error %v", err)
	}
	for _, f := range []float64{-.1, 1, 2} {
		if _, err := Open(Options{Train: path, HeldOutFraction: f}); err == nil {
			t.Errorf("fraction %v accepted", f)
		}
	}
	if s, err := Open(Options{Train: path}); err != nil || len(s.Prompts(task.HeldOut)) != 0 {
		t.Errorf("without a held-out split: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"prompt":"a","id":1,"category":"c","metadata":{"text":"T"}}`))
	f.Add([]byte("{\"tag\":\"t\",\"include\":[],\"prompt\":\"p\"}\r\n{}"))
	f.Add([]byte("a\nb"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, name := range []string{"a.txt", "a.jsonl"} {
			var records []record
			var err error
			costtest.Bounded(t, len(data), func() { records, err = parse(name, bytes.NewReader(data)) })
			if err != nil {
				if !strings.HasPrefix(err.Error(), name+":") {
					t.Fatalf("error %q does not name the file", err)
				}
				continue
			}
			for _, p := range number(records) {
				if strings.TrimSpace(p.Text) == "" || strings.ContainsRune(p.Text, 0) || !utf8.ValidString(p.Text) {
					t.Fatalf("accepted the prompt %q from %q", p.Text, data)
				}
				if p.Metadata != nil && !json.Valid(p.Metadata) {
					t.Fatalf("accepted the metadata %q from %q", p.Metadata, data)
				}
			}
		}
	})
}
