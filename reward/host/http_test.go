package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"flowgrpo/reward"
	"flowgrpo/reward/plugin"
	"flowgrpo/reward/rewardpb"
	"flowgrpo/reward/rewardtest"
)

// The suite passes on services of the kit and of another implementation of the
// protocol, in both encodings, and behind a path.
func TestServices(t *testing.T) {
	t.Parallel()
	_, foreign := rewardpb.NewRewardServiceHandler(connectLuma{})
	for _, c := range []struct {
		name, encoding, path string
		handler              http.Handler
	}{
		{"kit", "json", "", plugin.Handler(luma{plugin.PNG}, "")},
		{"kit behind a path", "json", "/a/b/", http.StripPrefix("/a/b", plugin.Handler(luma{plugin.Float32}, ""))},
		{"connect, json", "json", "", foreign},
		{"connect, proto", "proto", "", foreign},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(c.handler)
			t.Cleanup(server.Close)
			r := made(t, "http", map[string]any{"url": server.URL + c.path, "encoding": c.encoding}, reward.Deps{})
			rewardtest.Test(t, r, samples(7))
			if v := reward.InfoOf(r).Version; v != "1.2" {
				t.Errorf("version %q, want 1.2", v)
			}
		})
	}
	t.Run("program with a socket and proto", func(t *testing.T) {
		t.Parallel()
		r := made(t, "exec", map[string]any{"command": program("connect")}, reward.Deps{})
		rewardtest.Test(t, r, samples(7))
	})
}

func TestTokens(t *testing.T) {
	t.Setenv("HOST_TEST_TOKEN", "secret")
	server := httptest.NewServer(plugin.Handler(luma{plugin.PNG}, "secret"))
	t.Cleanup(server.Close)
	write := func(text string) string {
		file := filepath.Join(t.TempDir(), "token")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	for _, c := range []struct {
		params map[string]any
		want   string // in the error; "": it works
	}{
		{map[string]any{"token_env": "HOST_TEST_TOKEN"}, ""},
		{map[string]any{"token_file": write("secret\n")}, ""},
		{map[string]any{}, "answered with the error unauthenticated: the token is missing or wrong"},
		{map[string]any{"token_file": write("other")}, "answered with the error unauthenticated"},
		{map[string]any{"token_env": "HOST_TEST_NO_TOKEN"}, "the variable HOST_TEST_NO_TOKEN is not set"},
		{map[string]any{"token_file": write(" \n")}, "is empty"},
		{map[string]any{"token_file": write("a\nb")}, "the token holds characters"},
		{map[string]any{"token_file": "no/such/file"}, "token_file: open no/such/file"},
		{map[string]any{"token_env": "HOST_TEST_TOKEN", "token_file": "f"}, "two sources of one token"},
	} {
		c.params["url"] = server.URL
		r, err := reward.New("http", "mine", c.params, reward.Deps{})
		if (err == nil) != (c.want == "") || err != nil && (!strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret")) {
			t.Errorf("%v: error %v, want %q", c.params, err, c.want)
		}
		if err == nil && reward.Close(r) != nil {
			t.Error("it cannot be closed")
		}
	}
}

// script is a service that answers Info well and Score call by call.
type script struct {
	calls  atomic.Int64
	score  func(call int64, w http.ResponseWriter, r *http.Request)
	target http.Handler // what answers the rest
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !strings.HasSuffix(r.URL.Path, "/Score") {
		s.target.ServeHTTP(w, r)
		return
	}
	s.score(s.calls.Add(1), w, r)
}

// What a service answers that has no scores, and how often it is asked.
func TestRefusals(t *testing.T) {
	t.Parallel()
	status := func(code int, body string) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) { w.WriteHeader(code); _, _ = io.WriteString(w, body) }
	}
	for _, c := range []struct {
		name   string
		answer func(http.ResponseWriter)
		reason reward.Reason
		text   string
		calls  int64
	}{
		{"429", status(429, "slow down"), reward.Unavailable, "answered with HTTP 429 Too Many Requests: slow down", 2},
		{"502", status(502, "<html>bad\x1b gateway"), reward.Unavailable, "answered with HTTP 502 Bad Gateway: <html>bad\ufffd gateway", 2},
		{"500", status(500, `{"code":"internal","message":"it broke"}`), reward.Refused, "answered with the error internal: it broke", 1},
		{"unavailable", status(503, `{"code":"unavailable","message":"later"}`), reward.Unavailable, "answered with the error unavailable: later", 2},
		{"exhausted", status(429, `{"code":"resource_exhausted","message":"too much"}`), reward.Unavailable, "resource_exhausted: too much", 2},
		{"deadline", status(504, `{"code":"deadline_exceeded","message":"slow"}`), reward.TimedOut, "deadline_exceeded: slow", 1},
		{"404", status(404, "no page"), reward.Refused, "answered with HTTP 404 Not Found: no page", 1},
		{"long", status(400, strings.Repeat("y", 1e5)), reward.Refused, "HTTP 400 Bad Request: yyy", 1},
		{"hangs up", func(http.ResponseWriter) { panic(http.ErrAbortHandler) }, reward.Unavailable, "no answer: EOF", 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := &script{target: plugin.Handler(luma{plugin.PNG}, ""), score: func(_ int64, w http.ResponseWriter, _ *http.Request) { c.answer(w) }}
			server := httptest.NewServer(s)
			t.Cleanup(server.Close)
			r := made(t, "http", map[string]any{"url": server.URL}, reward.Deps{})
			got, err := r.Score(t.Context(), samples(2))
			if err != nil {
				t.Fatal(err)
			}
			for _, g := range got {
				var f *reward.Failure
				if !errors.As(g.Err, &f) || f.Reason != c.reason || !strings.Contains(f.Error(), c.text) || len(f.Error()) > 1000 {
					t.Errorf("%v, want %s: %s", g.Err, c.reason, c.text)
				}
			}
			if s.calls.Load() != c.calls {
				t.Errorf("asked %d times, want %d", s.calls.Load(), c.calls)
			}
		})
	}
}

// A call is repeated with the same id, and the answer counts.
func TestRetryHelps(t *testing.T) {
	t.Parallel()
	var bodies [2]string
	handler := plugin.Handler(luma{plugin.PNG}, "")
	s := &script{target: handler, score: func(call int64, w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		bodies[call-1] = string(body)
		if call == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		handler.ServeHTTP(w, r)
	}}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	r := made(t, "http", map[string]any{"url": server.URL}, reward.Deps{})
	got, err := r.Score(t.Context(), samples(2))
	if err != nil || got[0].Err != nil || got[1].Err != nil || !(got[1].Score > got[0].Score) {
		t.Fatalf("%v, %v", got, err)
	}
	if bodies[0] == "" || bodies[0] != bodies[1] {
		t.Errorf("the second request differs:\n%.300s\n%.300s", bodies[0], bodies[1])
	}
}

// A service that was started again behind the run's back has to load first, which takes
// it until it was asked for Info thrice.
func TestServiceLoadsAgain(t *testing.T) {
	t.Parallel()
	var current atomic.Pointer[http.Handler]
	start := func() {
		h := plugin.Handler(&slow{luma: luma{plugin.PNG}}, "")
		current.Store(&h)
	}
	start()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*current.Load()).ServeHTTP(w, r) }))
	t.Cleanup(server.Close)
	r := made(t, "http", map[string]any{"url": server.URL, "params": map[string]any{"delay": 300}}, reward.Deps{})
	for range 3 {
		got, err := r.Score(t.Context(), samples(2))
		if err != nil || got[0].Err != nil || got[1].Err != nil {
			t.Fatalf("%v, %v", got, err)
		}
		start()
	}
}

// slow takes params.delay milliseconds to load.
type slow struct{ luma }

func (slow) Load(params []byte) error {
	if string(params) != `{"delay":300}` {
		return fmt.Errorf("params %s", params)
	}
	time.Sleep(300 * time.Millisecond)
	return nil
}

func TestNoService(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(nil)
	server.Close()
	for _, c := range []struct {
		params map[string]any
		want   string
	}{
		{map[string]any{"url": server.URL, "start_timeout": "100ms"}, "Info: no answer: dial tcp"},
		{map[string]any{}, `url is missing; it is an address such as "http://gpu7:8000"`},
		{map[string]any{"url": "gpu7:8000"}, `url is "gpu7:8000", want http://HOST:PORT or https://HOST`},
		{map[string]any{"url": "ftp://gpu7"}, `url is "ftp://gpu7", want http`},
		{map[string]any{"url": "http://me:secret@gpu7"}, "url holds a name or password; use token_env or token_file"},
		{map[string]any{"url": "http://gpu7/?token=secret"}, "url has a query or a fragment"},
		{map[string]any{"url": "http://gpu 7"}, "url is not an address"},
		{map[string]any{"url": server.URL, "encoding": "xml"}, `there is no encoding "xml"`},
		{map[string]any{"url": server.URL, "timeout": int64(5)}, `timeout needs a unit, for example "5s"; found 5`},
		{map[string]any{"url": server.URL, "retries": int64(11)}, "retries must be in 0 to 10, found 11"},
		{map[string]any{"url": server.URL, "batch": int64(0)}, "batch must be at least 1, found 0"},
		{map[string]any{"url": server.URL, "concurrency": int64(-1)}, "concurrency must be in 0 to 1024, found -1"},
		{map[string]any{"url": server.URL, "max_reply": "lots"}, "max_reply is lots (string), want a size of more than 0"},
	} {
		_, err := reward.New("http", "mine", c.params, reward.Deps{})
		if err == nil || !strings.Contains(err.Error(), `reward "mine": kind "http": `+c.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%v: error %v, want %s", c.params, err, c.want)
		}
	}
}

// A service that does not answer when the run begins is waited for.
func TestServiceIsLate(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	handler := plugin.Handler(luma{plugin.PNG}, "")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if calls.Add(1) <= 3 {
			panic(http.ErrAbortHandler)
		}
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	r := made(t, "http", map[string]any{"url": server.URL}, reward.Deps{})
	if got, err := r.Score(t.Context(), samples(1)); err != nil || got[0].Err != nil {
		t.Errorf("%v, %v", got, err)
	}
}

// A service is given at most as many calls at a time, of as many samples, as it allows,
// and as the recipe does.
func TestCallsAreBounded(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		params           map[string]any
		calls, maxAtOnce int64
	}{
		{map[string]any{}, 7, 4},
		{map[string]any{"concurrency": int64(2)}, 7, 2},
		{map[string]any{"concurrency": int64(100)}, 7, 4},
		{map[string]any{"batch": int64(2)}, 10, 4},
		{map[string]any{"batch": int64(100)}, 7, 4},
	} {
		var running, most atomic.Int64
		handler := plugin.Handler(wide{luma{plugin.PNG}}, "")
		s := &script{target: handler, score: func(_ int64, w http.ResponseWriter, r *http.Request) {
			n := running.Add(1)
			defer running.Add(-1)
			for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
			}
			time.Sleep(20 * time.Millisecond)
			handler.ServeHTTP(w, r)
		}}
		server := httptest.NewServer(s)
		c.params["url"] = server.URL
		r := made(t, "http", c.params, reward.Deps{})
		got, err := r.Score(t.Context(), samples(20))
		if err != nil {
			t.Fatal(err)
		}
		for i, g := range got {
			if g.Err != nil || i > 0 && i < 9 && !(g.Score > got[i-1].Score) {
				t.Errorf("%v: sample %d: %v", c.params, i, g)
			}
		}
		if s.calls.Load() != c.calls || most.Load() > c.maxAtOnce {
			t.Errorf("%v: %d calls, %d at once, want %d, at most %d", c.params, s.calls.Load(), most.Load(), c.calls, c.maxAtOnce)
		}
		server.Close()
	}
}

// wide allows four calls at a time, of three samples.
type wide struct{ luma }

func (w wide) Info() plugin.Info {
	info := w.luma.Info()
	info.MaxConcurrency = 4
	return info
}

// Cancelling ends a call, and leaves the service and the program as they are.
func TestCancelKeepsTheProgram(t *testing.T) {
	t.Parallel()
	r := made(t, "exec", map[string]any{"command": program("sleepy")}, reward.Deps{}) // hangs in its first call
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := r.Score(ctx, samples(2)); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("error %v, want the context's", err)
	}
	got, err := r.Score(t.Context(), samples(2))
	if err != nil || got[0].Err != nil || got[1].Score != 1 {
		t.Errorf("after a call that was given up: %v, %v, want the scores of the same program", got, err)
	}
}
