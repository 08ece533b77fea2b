package run

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"flowgrpo/eval"
)

// A Summary is what a list says of a run.
type Summary struct {
	Dir    string       `json:"dir"`
	Info   eval.RunInfo `json:"run"`
	Done   eval.Number  `json:"done"`             // iterations, or steps of a pretraining; NaN: not known
	Result *eval.Result `json:"result,omitempty"` // nil until the run is done
}

// List returns the runs in the folder parent, by name; none if it does not exist. A run
// that cannot be read is left out; the error says why, and the others are returned with it.
func List(parent string) ([]Summary, error) {
	entries, err := os.ReadDir(parent)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var runs []Summary
	var errs []error
	for _, e := range entries {
		dir := filepath.Join(parent, e.Name())
		if !e.IsDir() || !IsRun(dir) {
			continue
		}
		s, err := Show(dir)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		runs = append(runs, s)
	}
	return runs, errors.Join(errs...)
}

// Show returns what there is to say of the run in dir. A run whose process is gone
// without a word is called interrupted.
func Show(dir string) (Summary, error) {
	s := Summary{Dir: dir}
	if !IsRun(dir) {
		return s, setup(notARun(dir))
	}
	if err := readJSON(filepath.Join(dir, runFile), &s.Info); err != nil {
		return s, err
	}
	if s.Info.State == running && !locked(dir) {
		s.Info.State = "interrupted"
	}
	s.Done = iterationsDone(dir)
	var result eval.Result
	switch err := readJSON(filepath.Join(dir, resultFile), &result); {
	case err == nil:
		s.Result = &result
	case !errors.Is(err, fs.ErrNotExist):
		return s, err
	}
	return s, nil
}

// notARun is the error of a folder that was taken for a run.
func notARun(dir string) error {
	return fmt.Errorf("%s is not a run folder: it has no %s; `finetune runs ls` shows the runs", dir, runFile)
}

// iterationsDone returns the last iteration in the metrics of the run in dir. Metrics
// that cannot be read are no error: a list of runs shows the others all the same.
func iterationsDone(dir string) eval.Number {
	f, err := os.Open(filepath.Join(dir, metricsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return 0
	}
	if err != nil {
		return eval.NaN()
	}
	defer f.Close() // read only
	all, err := eval.ReadMetrics(f)
	if err != nil {
		return eval.NaN()
	}
	return eval.Number(eval.Iterations(all))
}
