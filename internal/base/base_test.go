package base

import (
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
)

func TestOpen(t *testing.T) {
	two := fstest.MapFS{
		"b/model_index.json": {Data: []byte("{}")},
		"a/model_index.json": {Data: []byte("{}")},
		"a/x":                {Data: []byte("1")},
		"notes/README.md":    {},
	}
	if got := strings.Join(names(two), " "); got != "a b" {
		t.Errorf("names are %q, want \"a b\"", got)
	}
	sub, err := open(two, "a")
	if err != nil {
		t.Fatal(err)
	}
	if data, err := fs.ReadFile(sub, "x"); string(data) != "1" {
		t.Errorf("file of the model is %q, %v", data, err)
	}
	for _, tt := range []struct {
		name, want string
		fsys       fs.FS
	}{
		{"notes", `no base model "notes" is embedded in this program; it has a, b`, two},
		{"../a", `no base model "../a" is embedded in this program; it has a, b`, two},
		{"glyphs", "no base model \"glyphs\": this program was built without base models; make one with " +
			"`finetune pretrain pretrain-glyphs`, then set model.path", fstest.MapFS{}},
	} {
		if _, err := open(tt.fsys, tt.name); err == nil || err.Error() != tt.want {
			t.Errorf("open %q: %v, want %s", tt.name, err, tt.want)
		}
	}
}

func TestEmbedded(t *testing.T) {
	for _, name := range Names() {
		if _, err := Open(name); err != nil {
			t.Error(err)
		}
	}
}
