package host

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"flowgrpo/reward"
	"flowgrpo/reward/rewardtest"
)

// The same program is a service, with a token, that is silent about who hangs up, and ends
// with SIGTERM.
func TestPythonService(t *testing.T) {
	t.Parallel()
	command := pythonProgram(t, pythonMean+`kit.serve(mean, image="float32")`)
	program := exec.Command(command[0].(string), command[1].(string))
	program.Env = append(os.Environ(), "FLOWGRPO_REWARD_LISTEN=127.0.0.1:0", "FLOWGRPO_REWARD_TOKEN=secret")
	stderr, err := program.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(stderr)
	line, err := lines.ReadString('\n')
	address, ok := strings.CutPrefix(strings.TrimSpace(line), "reward: listening on ")
	if err != nil || !ok {
		t.Fatalf("it says %q: %v", line, err)
	}
	r := made(t, "http", map[string]any{"url": "http://" + address, "token_file": write(t, "token", "secret")}, reward.Deps{})
	rewardtest.Test(t, r, samples(7))
	for _, body := range []string{`{"id":`, `{"id":1,"samples":[]}`} {
		hangUp(t, address, body)
	}
	if _, err := reward.New("http", "mine", map[string]any{"url": "http://" + address}, reward.Deps{}); err == nil || !strings.Contains(err.Error(), "the token is missing or wrong") {
		t.Errorf("without a token: %v", err)
	}
	if err := program.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(lines)
	if err != nil || len(rest) > 0 {
		t.Errorf("it says %q at the end: %v", rest, err)
	}
	if err := program.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
}

// hangUp sends what a request begins with and breaks the connection.
func hangUp(t *testing.T, address, body string) {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	const length = len(`{"id":1,"samples":[]}`)
	_, err = fmt.Fprintf(c, "POST %sScore HTTP/1.1\r\nAuthorization: Bearer secret\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", service, length, body)
	if err := errors.Join(err, c.(*net.TCPConn).SetLinger(0), c.Close()); err != nil {
		t.Fatal(err)
	}
}

// A call that runs when the program is to stop is finished.
func TestPythonFinishes(t *testing.T) {
	t.Parallel()
	r := python(t, `
import time
def score(s):
    time.sleep(0.2)
    return 1
kit.serve(score)`)
	answer := make(chan []reward.Result)
	go func() {
		got, err := r.Score(t.Context(), samples(1))
		if err != nil {
			t.Error(err)
		}
		answer <- got
	}()
	time.Sleep(100 * time.Millisecond)
	if err := reward.Close(r); err != nil {
		t.Error(err)
	}
	if got := <-answer; !reflect.DeepEqual(got, []reward.Result{{Score: 1}}) {
		t.Errorf("%v, want the score of the call that ran", got)
	}
}
