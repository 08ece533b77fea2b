package mutants

import (
	"bytes"
	"testing"
)

// A test of this package that fails with the one mutant and passes with the other.
func TestSubject(t *testing.T) {
	if subject() != 1 {
		t.Error("subject is not 1")
	}
}

func TestMutants(t *testing.T) {
	for _, tt := range []struct {
		mutant Mutant
		fails  bool
		says   string
	}{
		{Mutant{"subject_test.go", "return 1", "return 2"}, true, "--- FAIL: TestSubject"},
		{Mutant{"subject_test.go", "return 1", "return 1 + 0"}, false, "ok"},
		{Mutant{"subject_test.go", "return 1", "return one"}, true, "undefined: one"},
	} {
		if out, err := tt.mutant.test(t, "^TestSubject$"); (err != nil) != tt.fails || !bytes.Contains(out, []byte(tt.says)) {
			t.Errorf("%+v: %v\n%s", tt.mutant, err, out)
		}
	}
	Killed(t, "^TestSubject$", []Mutant{{"subject_test.go", "return 1", "return 3"}})
}
