package layering

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// floor numbers the packages from the ground up, as ARCHITECTURE.md draws them. A
// package may import only packages on lower floors. A new package must be added
// here, which is the moment to ask where it belongs; internal packages that are
// not listed are on the ground floor and may import only each other.
var floor = map[string]int{
	"cmd/finetune":         8,
	"internal/run":         7,
	"grpo":                 6,
	"eval":                 6,
	"internal/pretrain":    6,
	"reward/host":          6,
	"reward/wire":          5,
	"reward/rewardtest":    5,
	"reward/skeleton":      5,
	"rollout":              4,
	"reward":               4,
	"reward/plugin":        4,
	"reward/rewardpb":      4,
	"task/glyphs":          4,
	"task/shapes":          4,
	"task/prompts":         4,
	"policy":               3,
	"internal/imagefolder": 3,
	"task":                 2,
	"sde/mixture":          2,
	"sde":                  1,
	"internal/base":        1,
	"configs":              0,

	// In no picture: nobody imports them.
	"examples/rewards":                8,
	"examples/rewards/darkness":       5,
	"examples/rewards/geneval":        5,
	"examples/rewards/textmatch":      5,
	"task/glyphs/internal/trainjudge": 5,
}

const module = "flowgrpo/"

// floorOf returns the floor of a package: its own, or that of the package that it
// is internal to.
func floorOf(pkg string) (int, bool) {
	if f, ok := floor[pkg]; ok {
		return f, true
	}
	if owner, _, ok := strings.Cut(pkg, "/internal"); ok {
		return floor[owner], true
	}
	return 0, strings.HasPrefix(pkg, "internal/")
}

// TestPictureIsTheMap reads the floors that ARCHITECTURE.md draws, and the packages on the
// ground that it names.
func TestPictureIsTheMap(t *testing.T) {
	text, err := os.ReadFile("../../ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## Floors\n")
	section, _, _ = strings.Cut(section, "\n## ")
	pieces := strings.SplitN(section, "```", 3)
	if len(pieces) != 3 {
		t.Fatal("there is no picture under Floors")
	}
	drawn, last := map[string]int{}, -1
	for line := range strings.Lines(strings.TrimSpace(pieces[1])) {
		if c := line[0]; c != ' ' {
			last = int(c - '0')
		}
		drawn[strings.Fields(line[2:])[0]] = last
	}
	delete(drawn, "internal/…")
	for pkg, want := range floor {
		hidden := strings.HasPrefix(pkg, "examples/") || strings.Contains(pkg, "/internal/")
		if got, ok := drawn[pkg]; ok == hidden || ok && got != want {
			t.Errorf("%s is drawn on floor %d (%t), want %d (%t)", pkg, got, ok, want, !hidden)
		}
		delete(drawn, pkg)
	}
	for pkg := range drawn {
		t.Errorf("%s is drawn, and there is no such package", pkg)
	}
	folders, err := os.ReadDir("..")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range folders {
		if _, above := floor["internal/"+f.Name()]; !above && !strings.Contains(pieces[2], "`"+f.Name()+"`") {
			t.Errorf("internal/%s is not among those on the ground", f.Name())
		}
	}
}

// TestImportsPointDown reads what every package imports.
func TestImportsPointDown(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "../../...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	packages := 0
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		pkg := strings.TrimPrefix(fields[0], module)
		from, ok := floorOf(pkg)
		if !ok {
			t.Errorf("package %s has no floor", pkg)
		}
		packages++
		for _, imp := range fields[1:] {
			if dep, ours := strings.CutPrefix(imp, module); ours && upward(pkg, dep) {
				to, _ := floorOf(dep)
				t.Errorf("%s (floor %d) imports %s (floor %d)", pkg, from, dep, to)
			}
		}
	}
	if packages < len(floor) {
		t.Errorf("go list found %d packages, fewer than the %d with a floor", packages, len(floor))
	}
}

// upward reports whether pkg may not import dep.
func upward(pkg, dep string) bool {
	from, _ := floorOf(pkg)
	to, _ := floorOf(dep)
	if to < from {
		return false
	}
	ground := from == 0 && to == 0
	owned := strings.HasPrefix(dep, strings.TrimSuffix(pkg, "/")+"/internal/")
	siblings := strings.Contains(pkg, "/internal/") && strings.HasPrefix(dep, pkg[:strings.Index(pkg, "/internal/")]+"/internal/")
	return !ground && !owned && !siblings
}

// The rule itself must be able to fail.
func TestUpward(t *testing.T) {
	for _, tt := range []struct {
		pkg, dep string
		want     bool
		reason   string
	}{
		{"grpo", "rollout", false, "down"},
		{"rollout", "grpo", true, "up"},
		{"rollout", "reward", true, "sideways"},
		{"sde", "internal/kernel", false, "the ground is below everything"},
		{"internal/graph", "sde", true, "the ground imports nothing above it"},
		{"internal/graph", "internal/kernel", false, "the ground may import the ground"},
		{"task/glyphs", "task/glyphs/internal/judge", false, "a package owns its internals"},
	} {
		if got := upward(tt.pkg, tt.dep); got != tt.want {
			t.Errorf("upward(%s, %s) = %t, want %t: %s", tt.pkg, tt.dep, got, tt.want, tt.reason)
		}
	}
}
