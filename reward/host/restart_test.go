package host

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"flowgrpo/internal/longtest"
	"flowgrpo/reward"
)

// A program that dies is started again, and the call is repeated: nobody notices.
func TestRestart(t *testing.T) {
	t.Parallel()
	r := made(t, "exec", map[string]any{"command": program("one call only")}, reward.Deps{})
	cycle(t, r, 15)
}

// cycle makes n calls, each of which but the first kills the program.
func cycle(t *testing.T, r reward.Reward, n int) {
	t.Helper()
	batch := samples(3)
	want := []reward.Result{{Score: 0}, {Score: 1}, {Score: 2}}
	for i := range n {
		got, err := r.Score(t.Context(), batch)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("call %d: %v, %v, want %v", i, got, err, want)
		}
	}
}

// A program that ends between calls is started again, which costs no repetition.
func TestLeaves(t *testing.T) {
	t.Parallel()
	r := quick(t, restarts, &execSettings{command: []string{os.Args[0], "plugin", "leaves"}, path: os.Args[0]})
	r.retries = 0
	for range 3 {
		cycle(t, r, 1)
		<-r.super.conn.gone() // nobody else uses it now
	}
}

// A program that dies with several calls in flight is started again once, and all of
// them are repeated.
func TestDiesWithManyCalls(t *testing.T) {
	t.Parallel()
	tag := newTag()
	r := made(t, "exec", map[string]any{"command": program("dies once", tag, filepath.Join(t.TempDir(), "died"))}, reward.Deps{})
	got, err := r.Score(t.Context(), samples(9))
	if err != nil {
		t.Fatal(err)
	}
	for i, g := range got {
		if g.Err != nil || g.Score != float64(i) {
			t.Errorf("sample %d: %v, want %d", i, g, i)
		}
	}
	if n := alive(t, tag); n > 1 {
		t.Errorf("%d programs are alive at a time", n)
	}
}

// Replies are matched by their ids, in whatever order the results are.
func TestShuffledReplies(t *testing.T) {
	t.Parallel()
	r := made(t, "exec", map[string]any{"command": program("shuffles")}, reward.Deps{})
	for range 60 {
		got, err := r.Score(t.Context(), samples(12))
		if err != nil {
			t.Fatal(err)
		}
		for i, g := range got {
			if g.Err != nil || g.Score != float64(i) {
				t.Fatalf("sample %d: %v, want %d", i, g, i)
			}
		}
	}
}

// TestRestartLong: a thousand crashes leave nothing behind.
func TestRestartLong(t *testing.T) {
	longtest.Only(t)
	if runtime.GOOS != "linux" {
		t.Skip("what a process holds is read from /proc")
	}
	const rounds, slackBytes = 1000, 5 << 20
	tag := newTag()
	r := made(t, "exec", map[string]any{"command": program("one call only", tag)}, reward.Deps{})
	cycle(t, r, 50) // pools and caches fill
	before := census(t)
	cycle(t, r, rounds)
	after := census(t)
	t.Logf("%d crashes: %+v before, %+v after", rounds, before, after)
	if after.goroutines > before.goroutines || after.files > before.files || after.zombies > 0 || after.resident > before.resident+slackBytes {
		t.Errorf("%d crashes leave something behind: %+v before, %+v after", rounds, before, after)
	}
	if n := alive(t, tag); n != 1 {
		t.Errorf("%d programs are alive, want 1", n)
	}
}

// holdings is what this process holds.
type holdings struct{ goroutines, files, zombies, resident int }

func census(t *testing.T) (h holdings) {
	t.Helper()
	debug.FreeOSMemory()
	time.Sleep(300 * time.Millisecond)
	h.goroutines = runtime.NumGoroutine()
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	h.files = len(files)
	children, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range children {
		stat, err := os.ReadFile(file)
		if err != nil {
			continue // it is gone
		}
		// pid (name) state ppid
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		if fields[0] == "Z" && fields[1] == strconv.Itoa(os.Getpid()) {
			h.zombies++
		}
	}
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(statm))[1])
	if err != nil {
		t.Fatal(err)
	}
	h.resident = pages * os.Getpagesize()
	return h
}

// A program that can be started no more stays down, and samples fail fast.
func TestStaysDown(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ behaviour, text string }{
		{"starts once", "ended with exit status 3; last lines of its standard error:\nnot again"},
		{"changes", "says other things in Info than at first"},
	} {
		t.Run(c.behaviour, func(t *testing.T) {
			t.Parallel()
			command := []string{os.Args[0], "plugin", c.behaviour, newTag(), filepath.Join(t.TempDir(), "once")}
			r := quick(t, policy{time.Millisecond, 3, time.Hour}, &execSettings{command: command, path: os.Args[0]})
			for call := range 3 {
				got, err := r.Score(t.Context(), samples(2))
				if err != nil {
					t.Fatal(err)
				}
				for _, g := range got {
					var f *reward.Failure
					if !errors.As(g.Err, &f) || f.Reason != reward.Unavailable || !strings.Contains(f.Error(), c.text) ||
						!strings.Contains(f.Error(), "after 3 failures in a row") {
						t.Errorf("call %d: %v, want it to stay down: %s", call, g.Err, c.text)
					}
				}
			}
		})
	}
}

// quick makes a reward of a program with a policy of its own.
func quick(t *testing.T, p policy, e *execSettings) *remote {
	t.Helper()
	s := settings{name: "mine", timeout: ample, startTimeout: ample, loadTimeout: ample, retries: 1, batch: 32, maxReply: 1 << 20}
	r, err := open(s, reward.Deps{}, p, func(ctx context.Context) (*conn, error) { return e.start(ctx, &s) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// After the pause it is tried again, and one good answer makes all as it was.
func TestComesBack(t *testing.T) {
	t.Parallel()
	starts := 0
	down := errors.New("down")
	s, err := newSupervisor(policy{time.Millisecond, 2, 50 * time.Millisecond}, func(context.Context) (*conn, error) {
		if starts++; starts == 1 || starts > 3 {
			return &conn{client: newClient("http://127.0.0.1:1", "", "", nil, 1)}, nil
		}
		return nil, down
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	c, err := s.ready(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_ = s.broke(c, errors.New("gone"), false)
	if _, err := s.ready(t.Context()); !errors.Is(err, down) || starts != 2 {
		t.Fatalf("after 2 failures, %d starts: %v, want it to be down", starts, err)
	}
	if _, err := s.ready(t.Context()); !errors.Is(err, down) || starts != 2 {
		t.Fatalf("in the pause, %d starts: %v, want no start", starts, err)
	}
	time.Sleep(60 * time.Millisecond)
	if _, err := s.ready(t.Context()); !errors.Is(err, down) || starts != 3 {
		t.Fatalf("after the pause, %d starts: %v, want another start", starts, err)
	}
	time.Sleep(60 * time.Millisecond)
	if c, err = s.ready(t.Context()); err != nil || starts != 4 {
		t.Fatalf("%d starts: %v", starts, err)
	}
	s.answered()
	_ = s.broke(c, errors.New("gone"), false)
	if _, err := s.ready(t.Context()); err != nil || starts != 5 {
		t.Fatalf("a good answer must begin the count again: %d starts: %v", starts, err)
	}
}

func TestPolicy(t *testing.T) {
	t.Parallel()
	want := []time.Duration{0, 0, 250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second, time.Minute, time.Minute}
	for failures, w := range want {
		if got := restarts.wait(failures); got != w {
			t.Errorf("after %d failures: %v, want %v", failures, got, w)
		}
	}
}
