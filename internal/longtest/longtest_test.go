package longtest

import "testing"

func TestOnlySkipsByDefault(t *testing.T) {
	t.Setenv("FLOWGRPO_LONG", "")
	if *long {
		t.Skip("-long was given")
	}
	t.Run("sub", func(t *testing.T) {
		defer func() {
			if !t.Skipped() {
				t.Error("Only let a test run without -long")
			}
		}()
		Only(t)
	})
}

func TestOnlyRunsWhenAsked(t *testing.T) {
	t.Setenv("FLOWGRPO_LONG", "1")
	ran := false
	t.Run("sub", func(t *testing.T) {
		Only(t)
		ran = true
	})
	if !ran {
		t.Error("Only skipped although FLOWGRPO_LONG=1")
	}
}

func TestSeed(t *testing.T) {
	t.Setenv("FLOWGRPO_LONG", "")
	t.Setenv("FLOWGRPO_SEED", "")
	if got := Seed(t); !*long && got != 1 {
		t.Errorf("without a wish the seed is %d, want 1", got)
	}
	t.Setenv("FLOWGRPO_LONG", "1")
	if a, b := Seed(t), Seed(t); a == b {
		t.Errorf("two long tests have the seed %d", a)
	}
	t.Setenv("FLOWGRPO_SEED", "7")
	if got := Seed(t); got != 7 {
		t.Errorf("FLOWGRPO_SEED=7 gives %d", got)
	}
}
