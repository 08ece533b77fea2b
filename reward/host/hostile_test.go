package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"flowgrpo/internal/longtest"
	"flowgrpo/reward"
)

const (
	// What a busy machine may add to a wait.
	slack = 5 * time.Second
	// The promise, which the long test holds on a machine that is not.
	promisedSlack = time.Second
)

// A hostileCase is how a behaviour has to end.
type hostileCase struct {
	behaviour string
	params    map[string]any
	// start is the error when the reward is made; empty if it can be.
	start string
	// reason and text of the failure of all four samples, or of sample 1 if others is
	// set: the rest keep their scores. With no reason nothing fails.
	reason reward.Reason
	text   string
	others bool
	// deadline is what a wait is bounded by.
	deadline time.Duration
}

// hostileCases are the 25 behaviours of a plugin that a run must survive, and more.
var hostileCases = []hostileCase{
	{behaviour: "no start line", start: "no handshake line on standard output within 1s", params: brief},
	{behaviour: "wrong version", start: "speaks protocol 3, this version supports 1; rebuild the program"},
	{behaviour: "garbage first", start: `expected the handshake line on standard output, got "Loading model..."; print what is for people to standard error`},
	{behaviour: "endless line", start: `got 65536 bytes without a newline that begin with "yyyy`},
	{behaviour: "binary noise", start: "expected the handshake line on standard output, got \"\ufffd\ufffd\""},
	{behaviour: "stderr flood"},
	{behaviour: "closes stdout", start: "closed its standard output without the handshake line"},
	{behaviour: "exits 0", start: "closed its standard output without the handshake line; it ended with exit status 0; last lines of its standard error:\nnothing to do"},
	{behaviour: "exits 1", reason: reward.Unavailable, text: "ended with exit status 1; last lines of its standard error:\n\ufffd[31mlast words", deadline: 2 * ample},
	{behaviour: "SIGSEGV", reason: reward.Unavailable, text: "ended by signal 11 (segmentation fault); last lines", deadline: 2 * ample},
	{behaviour: "hangs in Info", start: "Info: no answer in time", params: brief},
	{behaviour: "hangs", reason: reward.TimedOut, text: "no answer within 1s (a longer timeout or a smaller batch may help); the program was stopped; last lines of its standard error:\n\ufffd[31mlast words", params: brief},
	{behaviour: "too late", reason: reward.TimedOut, text: "no answer within 1s (a longer timeout or a smaller batch may help); the program was stopped", params: brief},
	{behaviour: "answers twice", reason: reward.BadLength, text: "returned 8 results for 4 samples"},
	{behaviour: "unknown id", reason: reward.BadReply, text: "a result for the sample id 4294967295, which the request does not have"},
	{behaviour: "too few", reason: reward.BadLength, text: "returned 1 results for 4 samples"},
	{behaviour: "too many", reason: reward.BadLength, text: "returned 5 results for 4 samples"},
	{behaviour: "NaN", reason: reward.BadReply, text: "the reply cannot be read: not JSON: invalid character 'N'"},
	{behaviour: "Inf", reason: reward.BadReply, text: "the reply cannot be read: not JSON: invalid character 'I' in numeric literal"},
	{behaviour: "null", reason: reward.BadScore, text: "score must be a finite number with abs <= 1e+06, found null", others: true},
	{behaviour: "string", reason: reward.BadScore, text: `found "0.5"`, others: true},
	{behaviour: "1e300", reason: reward.BadScore, text: "found 1e300", others: true},
	{behaviour: "deep", reason: reward.BadReply, text: "the reply cannot be read: nested deeper than 16 levels"},
	{behaviour: "forks", reason: reward.Unavailable, text: "ended with exit status 1", deadline: 2 * ample},
	{behaviour: "eats", reason: reward.Unavailable, text: "ended with exit status 2", params: map[string]any{"max_memory": "256MiB"}, deadline: 2 * ample},

	{behaviour: "foreign address", start: `listens on "192.0.2.1:80", want 127.0.0.1:PORT or unix:PATH`},
	{behaviour: "loads for ever", start: "is not ready within 1s (load_timeout): 40 %", params: brief},
	{behaviour: "speaks 3", start: "speaks protocol 3, and this version of flowgrpo 1"},
	{behaviour: "wants too much", start: "wants readings, which this task does not have"},
	{behaviour: "mad bounds", start: "min_score 1 is above max_score -1"},
	{behaviour: "two for one", reason: reward.BadReply, text: "two results for the sample id"},
	{behaviour: "second answer"},
	{behaviour: "noise", reason: reward.BadReply, text: "the reply cannot be read: this is not UTF-8 text"},
	{behaviour: "html", reason: reward.BadReply, text: `the reply has the Content-Type "text/html", want "application/json"`},
	{behaviour: "endless reply", reason: reward.BadReply, text: "the reply has more than 16777216 bytes (max_reply)"},
	{behaviour: "endless header", reason: reward.Unavailable, text: "server response headers exceeded", deadline: 2 * ample},
	{behaviour: "bomb", reason: reward.BadReply, text: `the reply has the Content-Encoding "gzip", which nobody asked for`},
	{behaviour: "redirects", reason: reward.Refused, text: "answered with HTTP 307 Temporary Redirect"},
	{behaviour: "deaf"},
	{behaviour: "shuffles"},
}

// The 25 that reliability promises are before those without one.
const promisedCases = 25

// ample is a timeout that nothing but a defect exceeds.
const ample = 20 * time.Second

var brief = map[string]any{"timeout": "1s", "start_timeout": "1s", "load_timeout": "1s"}

func TestHostile(t *testing.T) {
	t.Parallel()
	for _, c := range hostileCases {
		t.Run(c.behaviour, func(t *testing.T) {
			t.Parallel()
			if c.params["max_memory"] != nil && raced() {
				t.Skip("the race detector itself needs more memory than this program may have")
			}
			c.run(t, slack)
		})
	}
}

// raced reports whether this binary was built with the race detector.
func raced() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// TestHostileLong holds the promise: 500 of 500 end as documented, in time.
func TestHostileLong(t *testing.T) {
	longtest.Only(t)
	passed := 0
	for _, c := range hostileCases[:promisedCases] {
		for range 20 {
			if c.run(t, promisedSlack) {
				passed++
			}
		}
	}
	t.Logf("%d of %d ended as documented, in time", passed, 20*promisedCases)
}

// run reports whether the behaviour ends as it has to.
func (c hostileCase) run(t *testing.T, slack time.Duration) bool {
	tag := newTag()
	params := map[string]any{"command": program(c.behaviour, tag), "timeout": ample.String(), "start_timeout": ample.String()}
	deadline := ample
	for key, value := range c.params {
		params[key] = value
		if key == "timeout" {
			deadline = time.Second
		}
	}
	deadline = max(deadline, c.deadline)
	clock := time.Now()
	r, err := reward.New("exec", "mine", params, reward.Deps{})
	var bad []string
	if err == nil {
		clock = time.Now() // making it is not part of the call
		bad = c.judge(r)
	} else if start := (*StartError)(nil); c.start == "" || !errors.As(err, &start) || start.Reward != "mine" || !strings.Contains(err.Error(), c.start) {
		bad = append(bad, fmt.Sprintf("error %v, want a StartError: %s", err, c.start))
	}
	if took := time.Since(clock); took > deadline+slack {
		bad = append(bad, fmt.Sprintf("took %v, more than the deadline of %v and %v", took, deadline, slack))
	}
	if err == nil {
		if c.start != "" {
			bad = append(bad, "it started, want the error "+c.start)
		}
		if err := reward.Close(r); err != nil {
			bad = append(bad, err.Error())
		}
	}
	if n := left(t, tag); n > 0 {
		bad = append(bad, fmt.Sprintf("%d processes are left", n))
	}
	for _, b := range bad {
		t.Errorf("%s: %s", c.behaviour, b)
	}
	return bad == nil
}

// judge scores four samples and says what is wrong with the results.
func (c hostileCase) judge(r reward.Reward) (bad []string) {
	got, err := r.Score(context.Background(), samples(4))
	if err != nil || len(got) != 4 {
		return []string{fmt.Sprintf("%d results, error %v", len(got), err)}
	}
	for i, g := range got {
		fails := c.reason != "" && (!c.others || i == 1)
		if !fails {
			if g.Err != nil || g.Score != float64(i) {
				bad = append(bad, fmt.Sprintf("sample %d: %v, want the score %d", i, g, i))
			}
			continue
		}
		f := (*reward.Failure)(nil)
		if !errors.As(g.Err, &f) || f.Reward != "mine" || f.Sample != i || f.Prompt != uint32(10+i) || f.Reason != c.reason ||
			!strings.Contains(f.Error(), c.text) || !strings.Contains(f.Error(), "call 1: ") || g.Score != 0 {
			bad = append(bad, fmt.Sprintf("sample %d: %v %v, want %s: %s", i, g.Score, g.Err, c.reason, c.text))
		}
	}
	return bad
}

var tags atomic.Int64

// newTag returns a word for the command line of a program, by which it is found.
func newTag() string { return fmt.Sprintf("tag-%d-%d.", os.Getpid(), tags.Add(1)) }

// left returns the number of processes that have tag in their command line, once what
// was killed had a moment to go.
func left(t *testing.T, tag string) (n int) {
	t.Helper()
	for range 50 {
		if n = alive(t, tag); n == 0 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	return n
}

// alive returns the number of processes that have tag in their command line and are no
// zombies. Where there is no Linux, none is found.
func alive(t *testing.T, tag string) (n int) {
	t.Helper()
	if runtime.GOOS != "linux" {
		return 0
	}
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil || len(files) == 0 {
		t.Fatalf("no processes in /proc: %v", err)
	}
	for _, f := range files {
		if line, err := os.ReadFile(f); err == nil && strings.Contains(string(line), tag) {
			n++
		}
	}
	return n
}
