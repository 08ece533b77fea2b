package run

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/gofrs/flock"

	"flowgrpo/eval"
	"flowgrpo/internal/atomicfile"
	"flowgrpo/internal/config"
	"flowgrpo/internal/disk"
	"flowgrpo/internal/jsonfile"
	"flowgrpo/internal/tensorboard"
	"flowgrpo/rollout"
	"flowgrpo/task"
)

// The states of a run.
const (
	created = "created"
	running = "running"
	stopped = "stopped" // by the user; can be resumed
	failed  = "failed"
	done    = "done"
)

// Files of a run folder.
const (
	runFile     = "run.json" // makes a folder a run
	configFile  = "config.toml"
	metricsFile = "metrics.jsonl"
	resultFile  = "result.json"
)

// A folder is a run folder that is being written.
type folder struct {
	dir     string
	info    eval.RunInfo
	lock    *flock.Flock // held until end
	metrics *logFile
	events  *logFile
	board   *tensorboard.Writer
}

// FreshDir creates a new folder for a run in parent, called NAME-DATE-TIME, and
// returns its path.
func FreshDir(parent, name string, now time.Time) (string, error) {
	if err := disk.MakePath(parent); err != nil {
		return "", err
	}
	stem := filepath.Join(parent, name+"-"+now.Format("20060102-150405"))
	for i := 1; ; i++ {
		dir := stem
		if i > 1 {
			dir = fmt.Sprintf("%s-%d", stem, i)
		}
		err := os.Mkdir(dir, 0o755)
		if err == nil {
			err = disk.Dir(parent).SyncDir(".")
		}
		if !errors.Is(err, fs.ErrExist) {
			return dir, err
		}
	}
}

// otherFolder is the advice to who wants a fresh folder and named one that is in use.
const otherFolder = "name another folder"

// CheckFresh returns an error if dir is there and not empty, but for a lock, and what is
// left of a run that never began: nothing is written among files of another origin. dir = ""
// is fine.
func CheckFresh(dir string) error {
	if dir == "" {
		return nil
	}
	entries, err := os.ReadDir(dir)
	entries = slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return e.Name() == lockFile || disk.IsTemp(e.Name()) })
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		if e, ok := errors.AsType[*fs.PathError](err); ok {
			err = e.Err
		}
		return setup(fmt.Errorf("%s cannot be a run folder: %w", dir, err))
	case IsRun(dir):
		if neverBegan(dir) {
			return nil
		}
		if locked(dir) {
			return setup(inUse(dir, otherFolder))
		}
		return setup(fmt.Errorf("%s is not empty: it holds a run; to go on with it, use `finetune resume %s`", dir, dir))
	case len(entries) > 0:
		return setup(fmt.Errorf("%s is not empty; name a folder that is new or empty", dir))
	}
	return nil
}

// neverBegan reports whether dir has only the first files of a run, all or some of them: its
// process died before it did anything.
func neverBegan(dir string) bool {
	var info eval.RunInfo
	return readJSON(filepath.Join(dir, runFile), &info) == nil && info.State == created
}

// createFolder claims the fresh folder dir and begins the run folder with the recipe and
// its values. The caller calls begin and end.
func createFolder(dir string, info eval.RunInfo, recipe string, c *config.Config) (*folder, error) {
	f := &folder{dir: dir, info: info}
	f.info.Name = filepath.Base(dir)
	var err error
	if f.lock, err = claim(dir, otherFolder); err != nil {
		return nil, err
	}
	if err := f.create(recipe, c); err != nil {
		return nil, errors.Join(err, f.lock.Close())
	}
	return f, nil
}

// create writes the first files of a run, if there is nothing else in the folder.
func (f *folder) create(recipe string, c *config.Config) error {
	if err := CheckFresh(f.dir); err != nil {
		return err
	}
	if err := f.state(created); err != nil {
		return err
	}
	values, err := config.Encode(c)
	if err != nil {
		return err
	}
	if err := atomicfile.WriteBytes(f.path("recipe.toml"), []byte(recipe)); err != nil {
		return err
	}
	return atomicfile.WriteBytes(f.path(configFile), values)
}

// openFolder claims the run folder of an earlier start. The caller calls begin and end, or
// closes the lock.
func openFolder(dir string) (*folder, error) {
	f := &folder{dir: dir}
	var err error
	if f.lock, err = claim(dir, "wait for it, or stop it"); err != nil {
		return nil, err
	}
	err = readJSON(f.path(runFile), &f.info)
	if err == nil {
		err = f.sweep()
	}
	if err != nil {
		return nil, errors.Join(err, f.lock.Close())
	}
	return f, nil
}

// sweep removes the files and folders that an earlier start was writing when it died.
func (f *folder) sweep() error {
	return fs.WalkDir(os.DirFS(f.dir), ".", func(name string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case name == checkpointsDir: // see newest
			return fs.SkipDir
		case !disk.IsTemp(e.Name()):
			return nil
		}
		if err := os.RemoveAll(f.path(name)); err != nil || !e.IsDir() {
			return err
		}
		return fs.SkipDir
	})
}

func (f *folder) path(name string) string { return filepath.Join(f.dir, filepath.FromSlash(name)) }

// state records the state of the run in run.json.
func (f *folder) state(state string) error {
	f.info.State = state
	return writeJSON(f.path(runFile), f.info)
}

// lines returns what metrics.jsonl holds, nothing if there is none.
func (f *folder) lines() ([]eval.Metrics, error) {
	file, err := os.Open(f.path(metricsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close() // read only
	return eval.ReadMetrics(file)
}

// log appends the figures of an iteration to metrics.jsonl and the event file.
func (f *folder) log(m eval.Metrics) error {
	if _, err := f.metrics.Write(m.AppendJSON(nil)); err != nil {
		return err
	}
	var scalars []tensorboard.Scalar
	for _, key := range slices.Sorted(maps.Keys(m)) {
		if v := m[key]; v.Known() && key != eval.KeyIteration {
			scalars = append(scalars, tensorboard.Scalar{Tag: key, Value: float64(v)})
		}
	}
	return f.board.Scalars(int64(m[eval.KeyIteration]), scalars)
}

// lost notes in run.json, when that is next written, that a device is lost, and says so.
func (f *folder) lost(device rollout.Failure, progress Progress) {
	if f.info.Environment == nil {
		f.info.Environment = map[string]string{}
	}
	f.info.Environment["lost "+device.Device] = fmt.Sprintf("%s: %v", time.Now().UTC().Format(time.RFC3339), device.Err)
	progress.Say("warning: device %s is lost and does no more work: %v", device.Device, device.Err)
}

// samples writes the pictures of an iteration.
func (f *folder) samples(set eval.SampleSet, images []task.Image) error {
	if err := eval.WriteSamples(f.path(eval.SampleDir(set.Iteration)), set, images); err != nil {
		return err
	}
	return f.board.Image(int64(set.Iteration), "samples", eval.Grid(images, 8, 3))
}

// fullFile is the path of the full protocol's evaluation of an iteration.
func fullFile(iteration int) string { return fmt.Sprintf("eval/full/iter-%06d.json", iteration) }

// evaluation writes an evaluation to name within the folder.
func (f *folder) evaluation(name string, e eval.Evaluation) error {
	if err := os.MkdirAll(filepath.Dir(f.path(name)), 0o755); err != nil {
		return err
	}
	return writeJSON(f.path(name), e)
}

// report renders report.html from what the folder holds;
// state is that of the run.
func (f *folder) report(state string) error {
	return writeReport(f.dir, func(i *eval.RunInfo) { i.State = state })
}

// WriteReport renders report.html of the run folder dir from its other files.
func WriteReport(dir string) error { return writeReport(dir, func(*eval.RunInfo) {}) }

func writeReport(dir string, change func(*eval.RunInfo)) error {
	r, err := eval.FromRun(os.DirFS(dir))
	if err != nil {
		return input(fmt.Errorf("%s: %w", dir, err))
	}
	change(&r.Run)
	return atomicfile.Write(filepath.Join(dir, "report.html"), func(w io.Writer) error { return eval.WriteHTML(w, r) })
}

func writeJSON(path string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return atomicfile.WriteBytes(path, append(data, '\n'))
}

func readJSON(path string, v any) error {
	return input(jsonfile.ReadFile(path, v, false))
}
