package host

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"flowgrpo/reward"
)

func init() { hostile["probe"] = probe }

// surroundings is what a program sees.
type surroundings struct {
	Dir, Temp  string
	LeadsGroup bool
	Variables  []string
	Files      []string // that are open, by what /proc calls them
	Limits     string
}

// probe writes its surroundings to the file args[1] when it is asked for scores.
func probe(args []string) {
	serve(func(w http.ResponseWriter, r request) {
		s := surroundings{Temp: os.TempDir(), LeadsGroup: syscall.Getpgrp() == os.Getpid()}
		s.Dir, _ = os.Getwd()
		for _, v := range os.Environ() {
			name, _, _ := strings.Cut(v, "=")
			s.Variables = append(s.Variables, name)
		}
		files, _ := os.ReadDir("/proc/self/fd")
		for _, f := range files {
			if to, err := os.Readlink("/proc/self/fd/" + f.Name()); err == nil {
				s.Files = append(s.Files, to)
			}
		}
		limits, _ := os.ReadFile("/proc/self/limits")
		s.Limits = strings.Join(strings.Fields(string(limits)), " ")
		text, err := json.Marshal(s)
		if err != nil {
			panic(err)
		}
		for _, file := range []string{args[1], filepath.Join(s.Dir, "left behind")} {
			if err := os.WriteFile(file, text, 0o600); err != nil {
				panic(err)
			}
		}
		r.answer(w, r.fine()...)
	})
}

// see returns what a program sees that is made with params, after it was closed.
func see(t *testing.T, params map[string]any) (s surroundings) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "probe.json")
	params["command"] = program("probe", newTag(), file)
	r, err := reward.New("exec", "mine", params, reward.Deps{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Score(t.Context(), samples(1)); err != nil {
		t.Fatal(err)
	}
	if err := reward.Close(r); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestIsolation(t *testing.T) {
	t.Setenv("HOST_TEST_PASSED", "1")
	t.Setenv("HOST_TEST_SECRET", "1")
	secret, err := os.Open(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	defer secret.Close()
	leak, err := syscall.Dup(int(secret.Fd())) // as a C library would open it: not closed on exec
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(leak)

	s := see(t, map[string]any{"env": []any{"HOST_TEST_PASSED", "HOST_TEST_UNSET"}, "max_memory": "3GiB"})
	known := []string{"PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "FLOWGRPO_REWARD_TOKEN", "HOST_TEST_PASSED"}
	for _, v := range s.Variables {
		if !slices.Contains(known, v) {
			t.Errorf("it sees the variable %s", v)
		}
	}
	for _, v := range []string{"PATH", "TMPDIR", "FLOWGRPO_REWARD_TOKEN", "HOST_TEST_PASSED"} {
		if !slices.Contains(s.Variables, v) {
			t.Errorf("it does not see the variable %s", v)
		}
	}
	if !s.LeadsGroup {
		t.Error("it is in the group of its host")
	}
	if s.Dir != s.Temp || !strings.Contains(s.Dir, "flowgrpo-reward-") {
		t.Errorf("it works in %s with temporary files in %s, want one private folder", s.Dir, s.Temp)
	}
	if _, err := os.Stat(s.Dir); !os.IsNotExist(err) {
		t.Errorf("its folder is still there: %v", err)
	}
	pipes := 0
	for _, f := range s.Files {
		if strings.HasPrefix(f, "pipe:") {
			pipes++
		}
		if f == secret.Name() {
			t.Error("it has a file of its host's open")
		}
	}
	if pipes != 3 {
		t.Errorf("it has %d pipes, want standard input, output and error", pipes)
	}
	for _, want := range []string{"Max core file size 0 0", "Max open files 4096 4096", "Max data size 3221225472 3221225472"} {
		if !strings.Contains(s.Limits, want) {
			t.Errorf("limits %s, want %s", s.Limits, want)
		}
	}
}

func TestFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := see(t, map[string]any{"dir": dir})
	if want, err := filepath.EvalSymlinks(dir); err != nil || s.Dir != want {
		t.Errorf("it works in %s, want %s (%v)", s.Dir, want, err)
	}
	if s.Temp == s.Dir {
		t.Error("temporary files are to be in a private folder all the same")
	}
	if _, err := os.Stat(filepath.Join(dir, "left behind")); err != nil {
		t.Errorf("a folder of the user's is not to be removed: %v", err)
	}
}
