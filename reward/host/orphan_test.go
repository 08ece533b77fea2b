package host

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"

	"flowgrpo/internal/longtest"
	"flowgrpo/reward"
)

// No program outlives a host that is killed, not even one that ignores SIGTERM and the
// end of its standard input.
func TestNoOrphans(t *testing.T) {
	t.Parallel()
	killHosts(t, 5, 10*time.Second) // on a busy machine
}

func TestNoOrphansLong(t *testing.T) {
	longtest.Only(t)
	killHosts(t, 200, 2*time.Second)
}

func killHosts(t *testing.T, n int, patience time.Duration) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux kills a program with its host; elsewhere it has to see the end of its standard input")
	}
	var longest time.Duration
	for i := range n {
		behaviour := []string{"deaf", "luma"}[i%2]
		tag := newTag()
		host := exec.Command(os.Args[0], "host", os.Args[0], "plugin", behaviour, tag)
		host.Env = append(os.Environ(), "TMPDIR="+t.TempDir()) // it will not clean up
		out, err := host.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := host.Start(); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
			t.Fatalf("the host says %q: %v", line, err)
		}
		if n := alive(t, tag); n != 2 {
			t.Fatalf("%d processes, want the host and its program", n)
		}
		if err := host.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		killed := time.Now()
		for alive(t, tag) > 0 && time.Since(killed) < patience {
		}
		if longest = max(longest, time.Since(killed)); longest > patience {
			t.Fatalf("kill %d of %d: %s is alive after %v", i+1, n, behaviour, patience)
		}
		_ = host.Wait() // it was killed
	}
	t.Logf("%d hosts killed; no program left after %v", n, longest)
}

// beHost owns a reward and does nothing, until it is killed.
func beHost(command []string) {
	var words []any
	for _, word := range command {
		words = append(words, word)
	}
	r, err := reward.New("exec", "mine", map[string]any{"command": words}, reward.Deps{})
	if err != nil {
		panic(err)
	}
	if _, err := r.Score(context.Background(), samples(2)); err != nil {
		panic(err)
	}
	fmt.Println("ready")
	sleep()
}
