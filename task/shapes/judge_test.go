package shapes

import "testing"

func TestJudgeReadsRenderings(t *testing.T) {
	for _, test := range []struct {
		spoil spoil
		want  float64 // strict score of each task
	}{{clean, 0.985}, {noisy, 0.985}, {blurred, 0.985}, {both, 0.985}, {drawn, 0.88}} {
		for tag, got := range accuracy(t, NewJudge(), test.spoil, perTask*int(tasks)) {
			if got < test.want {
				t.Errorf("%s, %s: strict score %.4f, want ≥ %.3f", test.spoil.name, tag, got, test.want)
			}
		}
	}
}

// The judge reads outlines, and a mixture in half ink has one: it names more of
// them than the detector, which sees the ink.
func TestJudgeNamesNoBlobs(t *testing.T) { checkNoBlobs(t, NewJudge(), 0.50) }

func TestJudgeBoxes(t *testing.T) { checkBoxes(t, NewJudge(), 1) }

// The typical outlines must be told apart by more than the noise moves them,
// which is 0.02 for circle and square at a standard deviation of 0.1.
func TestTypicalDescriptorsDiffer(t *testing.T) {
	const least = 0.06
	typical := typicalDescriptors()
	for a := range typical {
		for b := range a {
			if d := typical[a].distance(&typical[b]); d < least {
				t.Errorf("%s and %s are %.3f apart, want ≥ %.2f", classNames[a], classNames[b], d, least)
			}
		}
	}
}

func BenchmarkJudge(b *testing.B) { benchmark(b, NewJudge()) }
