package eval

import (
	"bytes"
	"image"
	"strings"
	"testing"
	"testing/fstest"

	"flowgrpo/internal/costtest"
)

// pageSize is about what a page without a run takes, in bytes: more is made of a file than
// there is in it.
const pageSize = 64 << 10

// FuzzReport: whatever the files of a run hold, it is an error that says which, or a page
// without scripts.
func FuzzReport(f *testing.F) {
	picture, err := EncodePNG(image.NewGray(image.Rect(0, 0, 2, 2)))
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(`{"name":"n","state":"done","average":"categories","limits":{"frechet":1}}`),
		[]byte(`{"task":"t","base":{"reward":0.5,"categories":{"a":0.1,"b":1}},"tuned":{"reward":1e300,"modes":{"ode40":{}},"categories":{"a":-1,"b":null}},"gain":{"reward":{"mean":1,"interval":[0,1]}},"warnings":[{}]}`),
		[]byte("{\"iteration\":0,\"reward/mean\":0.5}\n{\"iteration\":1000000000,\"reward/x/mean\":-1e308}\n"),
		[]byte(`{"iteration":3,"modes":[{"mode":{"name":"ode40","steps":4},"score":{"reward":1,"frechet":1e308},"rows":[{"prompt_id":1,"prompt":"p","reward":1,"judge":null}]}]}`),
		[]byte(`{"iteration":-9,"samples":[{"prompt_id":1,"prompt":"<b>","sample":0,"file":"a.png","reward":0.5,"judge":null}]}`), "seed = 1")
	f.Add([]byte(`{}`), []byte(`{"Task":1}`), []byte("null\n"), []byte(`{"modes":[{},{}]}`), []byte(`{"samples":[{"file":"../run.json"}]}`), "<script>")
	f.Fuzz(func(t *testing.T, run, result, metrics, evaluation, samples []byte, config string) {
		folder := fstest.MapFS{}
		size := len(picture)
		for name, data := range map[string][]byte{
			"run.json": run, "result.json": result, "metrics.jsonl": metrics, EvaluationFile(0): evaluation,
			SampleDir(0) + "/samples.json": samples, SampleDir(1) + "/samples.json": samples, SampleDir(0) + "/a.png": picture, SampleDir(1) + "/a.png": picture,
			"config.toml": []byte(config),
		} {
			folder[name] = &fstest.MapFile{Data: data}
			size += len(data)
		}
		var page bytes.Buffer
		costtest.Bounded(t, size+pageSize, func() {
			page.Reset()
			r, err := FromRun(folder)
			if err == nil {
				err = WriteHTML(&page, r)
			}
			if err != nil && (len(err.Error()) > 2*size+1000 || !strings.HasPrefix(err.Error(), "eval: ")) {
				t.Fatalf("error %q", err)
			}
		})
		if strings.Contains(strings.ToLower(page.String()), "<script") {
			t.Fatalf("a script in the page of %q %q %q %q %q %q", run, result, metrics, evaluation, samples, config)
		}
	})
}
