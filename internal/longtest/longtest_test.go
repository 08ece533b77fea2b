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
