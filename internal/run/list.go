package run

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"flowgrpo/eval"
)

// A Summary is what a list says of a run.
type Summary struct {
	Dir    string       `json:"dir"`
	Info   eval.RunInfo `json:"run"`
	Done   int          `json:"done"`             // iterations, or steps of a pretraining
	Result *eval.Result `json:"result,omitempty"` // nil until the run is done
}

// List returns the runs in the folder parent, by name; none if it does not exist.
func List(parent string) ([]Summary, error) {
	entries, err := os.ReadDir(parent)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var runs []Summary
	for _, e := range entries {
		dir := filepath.Join(parent, e.Name())
		if !e.IsDir() || !IsRun(dir) {
			continue
		}
		s, err := Show(dir)
		if err != nil {
			return nil, err
		}
		runs = append(runs, s)
	}
	return runs, nil
}

// Show returns what there is to say of the run in dir. A run whose process is gone
// without a word is called interrupted.
func Show(dir string) (Summary, error) {
	s := Summary{Dir: dir}
	if !IsRun(dir) {
		return s, setup(errors.New(dir + " is not a run folder: it has no " + runFile))
	}
	if err := readJSON(filepath.Join(dir, runFile), &s.Info); err != nil {
		return s, err
	}
	if s.Info.State == running && !alive(s.Info.PID) {
		s.Info.State = "interrupted"
	}
	var err error
	if s.Done, err = iterationsDone(dir); err != nil {
		return s, err
	}
	var result eval.Result
	switch err := readJSON(filepath.Join(dir, "result.json"), &result); {
	case err == nil:
		s.Result = &result
	case !errors.Is(err, fs.ErrNotExist):
		return s, err
	}
	return s, nil
}

// iterationsDone returns the last iteration in the metrics of the run in dir.
func iterationsDone(dir string) (int, error) {
	name := filepath.Join(dir, metricsFile)
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer f.Close() // read only
	all, err := eval.ReadMetrics(f)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	if len(all) == 0 {
		return 0, nil
	}
	return int(all[len(all)-1][eval.KeyIteration]), nil
}

// alive reports whether a process with that number exists, as far as the system
// tells.
func alive(pid int) bool {
	p, err := os.FindProcess(pid)
	if err != nil {
		return false
	}
	err = p.Signal(syscall.Signal(0))
	return err == nil || errors.Is(err, os.ErrPermission) || errors.Is(err, errors.ErrUnsupported)
}
