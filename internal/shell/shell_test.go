package shell

import "testing"

func TestLine(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		"":                             nil,
		"''":                           {""},
		"finetune train --set a.b=1e3": {"finetune", "train", "--set", "a.b=1e3"},
		`'a b' '$x' 'ü' '*'`:           {"a b", "$x", "ü", "*"},
		`'it'\''s' '"quoted"'`:         {"it's", `"quoted"`},
	} {
		if got := Line(args); got != want {
			t.Errorf("Line(%q) = %s, want %s", args, got, want)
		}
	}
}
