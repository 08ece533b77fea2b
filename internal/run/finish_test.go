package run

import (
	"path/filepath"
	"testing"

	"flowgrpo/eval"
	"flowgrpo/internal/config"
)

// A figure that only the full protocol measures, here diversity, warns at the end of a run.
func TestResultWatchesFull(t *testing.T) {
	t.Parallel()
	c := config.Default()
	s := &Session{Config: &c, Problem: &Problem{}}
	r := &trainRun{session: s, folder: &folder{dir: t.TempDir()}, judge: &evaluator{session: s}}
	unknown := eval.NaN()
	for i, figures := range map[int]eval.Score{
		0: {Reward: 0.5, Judge: unknown, Frechet: unknown, Diversity: 0.8},
		9: {Reward: 0.9, Judge: unknown, Frechet: unknown, Diversity: 0.2},
	} {
		m := eval.ModeScore{Score: figures, KL: unknown, Rows: []eval.Row{{Reward: figures.Reward, Judge: unknown}}}
		if err := r.folder.evaluation(fullFile(i), eval.Evaluation{Iteration: i, Modes: []eval.ModeScore{m}}); err != nil {
			t.Fatal(err)
		}
	}
	r.points = []eval.Point{ // of the course, with one sample per prompt
		{Iteration: 0, Reward: 0.5, Judge: unknown, Frechet: unknown, Diversity: unknown},
		{Iteration: 9, Reward: 0.9, Judge: unknown, Frechet: unknown, Diversity: unknown},
	}
	result, err := r.result(9)
	if err != nil {
		t.Fatal(err)
	}
	written := parse[eval.Result](t, filepath.Join(r.folder.dir, "result.json"))
	for _, got := range [][]eval.Warning{result.Warnings, written.Warnings} {
		if len(got) != 1 || got[0].Name != eval.DiversityFalls || got[0].Iteration != 9 {
			t.Errorf("warnings %v, want %s alone", got, eval.DiversityFalls)
		}
	}
}
