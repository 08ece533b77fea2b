package eval

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"image/png"
	"io/fs"
	"path"
	"slices"
	"strings"

	"flowgrpo/internal/jsonfile"
)

// A Report is everything that the page of a run shows. Every part but Run may be
// missing: a report of a run that has just begun is a valid report.
type Report struct {
	Run         RunInfo
	Result      *Result // of a run that has not ended, what there is so far; nil without an evaluation
	Metrics     []Metrics
	Evaluations []Evaluation // by iteration
	Samples     []SampleSet  // by iteration
	Config      string       // TOML, defaults included
	Warnings    []Warning
}

// FromRun reads a run folder. Files that are not there yet are left out; a file
// that is there but cannot be read is an error that names it.
func FromRun(fsys fs.FS) (Report, error) {
	var r Report
	if err := readJSON(fsys, "run.json", &r.Run); err != nil {
		return r, err
	}
	steps := []func(fs.FS, *Report) error{readResult, readMetricsFile, readEvaluations, readSamples, readConfig}
	for _, step := range steps {
		if err := step(fsys, &r); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return r, err
		}
	}
	r.complete()
	return r, nil
}

// complete derives what a run that has not ended does not say yet.
func (r *Report) complete() {
	if r.Result != nil {
		r.Warnings = WatchFull(r.Result.Warnings, r.Result.Base, r.Result.Tuned, r.limits())
		return
	}
	if len(r.Evaluations) == 0 {
		return
	}
	var history []Point
	for _, e := range r.Evaluations {
		history = append(history, NewPoint(e))
	}
	r.Warnings = Watch(history, r.limits())
	base, last := r.Evaluations[0], r.Evaluations[len(r.Evaluations)-1]
	if last.Iteration == base.Iteration {
		last = Evaluation{Modes: []ModeScore{{Mode: base.Modes[0].Mode, Score: Summarize(nil, nil, Options{}), KL: NaN()}}}
	}
	r.Result = &Result{Task: r.Run.Task, Seconds: r.Run.Seconds, Base: NewOutcome(base), Tuned: NewOutcome(last),
		Gain: Gains(base, last, Options{Average: r.Run.Average, Resamples: 500}), Warnings: r.Warnings}
}

// limits returns what the run is held to.
func (r *Report) limits() Limits {
	return cmp.Or(r.Run.Limits, DefaultLimits())
}

func readJSON(fsys fs.FS, name string, into any) error {
	if err := jsonfile.Read(fsys, name, into, false); err != nil {
		return fmt.Errorf("eval: reading %w", err)
	}
	return nil
}

func readResult(fsys fs.FS, r *Report) error {
	var result Result
	if err := readJSON(fsys, "result.json", &result); err != nil {
		return err
	}
	r.Result = &result
	return nil
}

func readMetricsFile(fsys fs.FS, r *Report) error {
	f, err := fsys.Open("metrics.jsonl")
	if err != nil {
		return fmt.Errorf("eval: %w", err)
	}
	defer f.Close() // read only
	r.Metrics, err = ReadMetrics(f)
	return err
}

func readEvaluations(fsys fs.FS, r *Report) error {
	evals, err := evaluationsIn(fsys, "eval/*.json")
	r.Evaluations = evals
	return err
}

// evaluationsIn returns the evaluations in the files that match a pattern, by
// iteration.
func evaluationsIn(fsys fs.FS, pattern string) ([]Evaluation, error) {
	names, err := fs.Glob(fsys, pattern)
	if err != nil {
		return nil, err
	}
	var evals []Evaluation
	for _, name := range names {
		var e Evaluation
		if err := readJSON(fsys, name, &e); err != nil {
			return evals, err
		}
		if len(e.Modes) > 0 {
			evals = append(evals, e)
		}
	}
	slices.SortStableFunc(evals, func(a, b Evaluation) int { return cmp.Compare(a.Iteration, b.Iteration) })
	return evals, nil
}

func readSamples(fsys fs.FS, r *Report) error {
	names, err := fs.Glob(fsys, "samples/*/samples.json")
	if err != nil {
		return err
	}
	for _, name := range names {
		var set SampleSet
		if err := readJSON(fsys, name, &set); err != nil {
			return err
		}
		for i, s := range set.Samples {
			if s.File != path.Base(s.File) || !fs.ValidPath(s.File) || s.File == "." || strings.Contains(s.File, `\`) {
				return fmt.Errorf("eval: reading %s: %q is not the name of a file beside it", name, s.File)
			}
			file := path.Join(path.Dir(name), s.File)
			data, err := fs.ReadFile(fsys, file)
			if err != nil { // %v: a picture that samples.json lists must be there
				return fmt.Errorf("eval: reading %s: %v", name, err)
			}
			if _, err := png.DecodeConfig(bytes.NewReader(data)); err != nil {
				return fmt.Errorf("eval: reading %s: %w", file, err)
			}
			set.Samples[i].PNG = data
		}
		r.Samples = append(r.Samples, set)
	}
	slices.SortStableFunc(r.Samples, func(a, b SampleSet) int { return cmp.Compare(a.Iteration, b.Iteration) })
	return nil
}

func readConfig(fsys fs.FS, r *Report) error {
	data, err := fs.ReadFile(fsys, "config.toml")
	r.Config = string(data)
	return err
}
