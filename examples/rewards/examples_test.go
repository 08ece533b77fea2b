package rewards

import (
	"encoding/json"
	"image/png"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	_ "flowgrpo/examples/rewards/darkness"
	"flowgrpo/internal/run"
	"flowgrpo/reward"
	_ "flowgrpo/reward/host"
	"flowgrpo/reward/rewardtest"
	"flowgrpo/task"
	"flowgrpo/task/shapes"
)

// build builds the command of a folder and returns its path.
func build(t *testing.T, folder string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), folder)
	if out, err := exec.Command("go", "build", "-o", program, "./"+folder).CombinedOutput(); err != nil {
		t.Fatalf("go build %s: %v\n%s", folder, err, out)
	}
	return program
}

// python returns the path of a program of this folder; the test is left out where there
// is no Python.
func python(t *testing.T, file string) string {
	t.Helper()
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("there is no python3")
	}
	path, err := filepath.Abs(file)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// open makes a reward that is closed after the test.
func open(t *testing.T, kind string, deps reward.Deps, params map[string]any) reward.Reward {
	t.Helper()
	r, err := reward.New(kind, "example", params, deps)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := reward.Close(r); err != nil {
			t.Error(err)
		}
	})
	return r
}

func tryout(t *testing.T, world string) *run.Tryout {
	t.Helper()
	opened, err := run.OpenTryout(world)
	if err != nil {
		t.Fatal(err)
	}
	return opened
}

// score scores a batch.
func score(t *testing.T, r reward.Reward, batch []reward.Sample) []reward.Result {
	t.Helper()
	results, err := r.Score(t.Context(), batch)
	if err != nil {
		t.Fatal(err)
	}
	return results
}

func TestDarkness(t *testing.T) {
	rewardtest.Test(t, open(t, "darkness", reward.Deps{}, nil), tryout(t, "glyphs").Samples(2))
}

// listen starts a program as a service and returns its address.
func listen(t *testing.T, program string) string {
	t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	c := exec.Command(program)
	c.Env = append(os.Environ(), "FLOWGRPO_REWARD_LISTEN="+address)
	c.Stderr = os.Stderr
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Signal(os.Interrupt) // Wait tells whether it has ended
		_ = c.Wait()
	})
	return "http://" + address
}

// textWays are the built-in reward "text" and three programs that do the same.
func textWays(t *testing.T) map[string]map[string]any {
	return map[string]map[string]any{
		"text":           {"kind": "text"},
		"Go program":     {"kind": "exec", "command": []any{build(t, "textmatch")}},
		"Python program": {"kind": "exec", "command": []any{python(t, "textmatch.py")}},
		"service":        {"kind": "http", "url": listen(t, python(t, "textmatch.py"))},
	}
}

// Every way to fulfil the contract gives the same results, bit for bit.
func TestTextMatchIsTheSameEveryWay(t *testing.T) {
	glyphs := tryout(t, "glyphs")
	batch := glyphs.Samples(20)
	want := score(t, open(t, "text", glyphs.Deps, nil), batch)
	for name, params := range textWays(t) {
		t.Run(name, func(t *testing.T) {
			kind := params["kind"].(string)
			delete(params, "kind")
			r := open(t, kind, glyphs.Deps, params)
			if got := score(t, r, batch); !reflect.DeepEqual(got, want) {
				t.Errorf("results\n%v, want\n%v", got, want)
			}
			rewardtest.Test(t, r, batch[:6])
		})
	}
}

func TestTesseract(t *testing.T) {
	if _, err := exec.LookPath("tesseract"); err != nil {
		t.Skip("there is no tesseract")
	}
	r := open(t, "exec", reward.Deps{}, map[string]any{"command": []any{python(t, "tesseract.py")}})
	batch := []reward.Sample{sign(t, "HELLO", "HELLO"), sign(t, "HELLO", "HELPS"), sign(t, "HELLO", "12345")}
	results := score(t, r, batch)
	for i, want := range []float64{1, 0.6, 0} { // of HELLO, HELPS differs in two of five letters
		if got := results[i]; got.Err != nil || got.Score != want {
			t.Errorf("picture %d: score %v, error %v, want %v", i, got.Score, got.Err, want)
		}
	}
}

func TestTesseractRefusesUnknownParameters(t *testing.T) {
	if _, err := exec.LookPath("tesseract"); err != nil {
		t.Skip("there is no tesseract")
	}
	_, err := reward.New("exec", "ocr", map[string]any{
		"command": []any{python(t, "tesseract.py")}, "params": map[string]any{"psn": int64(7)},
	}, reward.Deps{})
	if err == nil || !strings.Contains(err.Error(), "psn") {
		t.Errorf("error %v, want one that names psn", err)
	}
}

// TestGenEval gives the rules a detector behind an address: the one of the shapes, which the
// built-in reward has too.
func TestGenEval(t *testing.T) {
	world := tryout(t, "shapes")
	detector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		src, err := png.Decode(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		img := task.NewImage(3, src.Bounds().Dy(), src.Bounds().Dx())
		img.FromImage(src)
		if err := json.NewEncoder(w).Encode(listed(shapes.NewDetector().Detect(img))); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(detector.Close)
	r := open(t, "exec", reward.Deps{}, map[string]any{
		"command": []any{build(t, "geneval")}, "params": map[string]any{"detector": detector.URL},
	})
	batch := world.Samples(30)
	want := score(t, open(t, "geneval", world.Deps, nil), batch)
	right := 0
	for i, got := range score(t, r, batch) {
		if got.Err != nil || got.Score != want[i].Score {
			t.Errorf("picture %d of %q: score %v, error %v, want %v", i, batch[i].Prompt.Text, got.Score, got.Err, want[i].Score)
		}
		right += int(got.Score)
	}
	if right == 0 || right == len(batch) {
		t.Errorf("%d of %d pictures are right: the test proves nothing", right, len(batch))
	}
}

// listed is detections in the form that the example asks for.
func listed(found []task.Detection) []map[string]any {
	list := []map[string]any{}
	for _, d := range found {
		list = append(list, map[string]any{"class": d.Class, "color": d.Color, "box": d.Box, "score": d.Score})
	}
	return list
}

// A detector that fails is no bad picture.
func TestGenEvalWithoutDetector(t *testing.T) {
	broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "out of memory", http.StatusInternalServerError)
	}))
	t.Cleanup(broken.Close)
	r := open(t, "exec", reward.Deps{}, map[string]any{
		"command": []any{build(t, "geneval")}, "params": map[string]any{"detector": broken.URL},
	})
	for _, got := range score(t, r, tryout(t, "shapes").Samples(1)) {
		if got.Err == nil || !strings.Contains(got.Err.Error(), "out of memory") {
			t.Errorf("score %v, error %v, want the detector's error", got.Score, got.Err)
		}
	}
}
