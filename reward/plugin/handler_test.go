package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// fake is a reward made of functions.
type fake struct {
	info  Info
	load  func(params json.RawMessage) error
	score func(ctx context.Context, batch []Sample) ([]Result, error)
}

func (f fake) Info() Info { return f.info }

func (f fake) Load(params json.RawMessage) error {
	if f.load == nil {
		return nil
	}
	return f.load(params)
}

func (f fake) Score(ctx context.Context, batch []Sample) ([]Result, error) {
	return f.score(ctx, batch)
}

// ask posts a message with the headers "Name: value" and returns the answer.
func ask(t *testing.T, h http.Handler, method, body string, headers ...string) (status int, answer string) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, service+method, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

const question = `{"min_protocol":1,"max_protocol":2}`

func expect(t *testing.T, what string, status int, answer string, wantStatus int, want string) {
	t.Helper()
	if status != wantStatus || !strings.Contains(answer, want) {
		t.Errorf("%s: %d %s, want %d %s", what, status, answer, wantStatus, want)
	}
}

func TestInfo(t *testing.T) {
	t.Parallel()
	h := Handler(fake{info: Info{
		Name: "n", Version: "v", Image: Float32, WantsReference: true, WantsReading: true, WantsDetections: true,
		MaxBatch: 2, MaxConcurrency: 3, Groupwise: true, EvaluationOnly: true, Deterministic: true, MinScore: -1, MaxScore: 4,
	}}, "")
	status, answer := ask(t, h, "Info", question)
	const want = `{"protocol":1,"name":"n","version":"v","image":"float32","wants_reference":true,"wants_reading":true,"wants_detections":true,` +
		`"max_batch":2,"max_concurrency":3,"groupwise":true,"evaluation_only":true,"deterministic":true,"min_score":-1,"max_score":4}`
	if status != 200 || answer != want {
		t.Errorf("%d %s, want\n%s", status, answer, want)
	}
	for _, body := range []string{`{"min_protocol":2,"max_protocol":3}`, `{}`, `{"max_protocol":0}`} {
		status, answer := ask(t, h, "Info", body)
		expect(t, body, status, answer, 400, `{"code":"failed_precondition","message":"this reward speaks protocol 1, and the run`)
	}
}

func TestCallsAreRefused(t *testing.T) {
	t.Parallel()
	h := Handler(fake{}, "secret")
	for _, c := range []struct {
		method, body string
		headers      []string
		status       int
		want         string
	}{
		{"Info", question, nil, 401, `"unauthenticated"`},
		{"Info", question, []string{"Authorization: Bearer Secret"}, 401, `"unauthenticated"`},
		{"Info", question, []string{"Authorization: Bearer secret", "Content-Type: application/proto"}, 415, `Content-Type \"application/proto\", want application/json`},
		{"Info", `{"min`, []string{"Authorization: Bearer secret"}, 400, `"invalid_argument"`},
		{"Info", `{"min_protocol":1,"max_protocol":1,"params":[1]}`, []string{"Authorization: Bearer secret"}, 400, `"invalid_argument","message":"params: `},
		{"Score", `{"id":1}`, []string{"Authorization: Bearer secret"}, 503, `"unavailable","message":"not loaded; ask for Info until it is"`},
		{"Other", `{}`, nil, 404, ""},
		{"Info", question, []string{"Authorization: Bearer secret", "Content-Type: application/json; charset=utf-8"}, 200, `{"protocol":1}`},
	} {
		status, answer := ask(t, h, c.method, c.body, c.headers...)
		expect(t, c.method+c.body, status, answer, c.status, c.want)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, service+"Info", nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d", w.Code)
	}
}

// Load is called once, with the parameters in one form, and Info waits for it.
func TestLoad(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	goOn := make(chan struct{})
	h := Handler(fake{load: func(params json.RawMessage) error {
		if calls.Add(1); string(params) != `{"a":[1,2],"b":"c"}` {
			t.Errorf("params %s", params)
		}
		<-goOn
		return nil
	}, score: func(context.Context, []Sample) ([]Result, error) { return nil, nil }}, "")
	const with = `{"min_protocol":1,"max_protocol":1,"params":{"b":"c", "a":[1, 2.0]}}`
	status, answer := ask(t, h, "Info", with)
	expect(t, "loading", status, answer, 200, `{"protocol":1,"loading":true}`)
	status, answer = ask(t, h, "Score", `{"id":1}`)
	expect(t, "score while loading", status, answer, 503, "unavailable")
	close(goOn)
	status, answer = ask(t, h, "Info", strings.ReplaceAll(with, " ", ""))
	expect(t, "loaded", status, answer, 200, `{"protocol":1}`)
	status, answer = ask(t, h, "Score", `{"id":1}`)
	expect(t, "score", status, answer, 200, `{"id":1,"results":[]}`)
	status, answer = ask(t, h, "Info", question)
	expect(t, "other parameters", status, answer, 400, `this reward was started with the parameters {\"a\":[1,2],\"b\":\"c\"}, not {}`)
	if calls.Load() != 1 {
		t.Errorf("Load was called %d times", calls.Load())
	}

	for what, load := range map[string]func(json.RawMessage) error{
		"no weights":                             func(json.RawMessage) error { return errors.New("no weights") },
		"Load: panic: handler_test.go:136: oops": func(json.RawMessage) error { panic("oops") },
	} {
		h := Handler(fake{load: load}, "")
		status, answer := ask(t, h, "Info", question)
		expect(t, what, status, answer, 400, `{"code":"failed_precondition","message":"`+what+`"}`)
		status, answer = ask(t, h, "Score", `{"id":1}`)
		expect(t, what, status, answer, 400, what)
	}
}

// loaded returns the handler of a reward that is ready.
func loaded(t *testing.T, f fake) http.Handler {
	t.Helper()
	h := Handler(f, "")
	if status, answer := ask(t, h, "Info", question); status != 200 {
		t.Fatal(answer)
	}
	return h
}

// Everything in a sample comes through.
func TestSample(t *testing.T) {
	t.Parallel()
	h := loaded(t, fake{score: func(_ context.Context, batch []Sample) ([]Result, error) {
		s := batch[0]
		if s.ID != 7 || s.Group != 2 || s.Prompt != "p" || s.Category != "c" || string(s.Metadata) != `{"n":1}` || s.Reading != "r" ||
			len(s.Detections) != 1 || s.Detections[0] != (Detection{"ring", "red", [4]float64{0, 1, 2, 3}, .5}) ||
			s.Image.C != 1 || s.Image.H != 1 || s.Image.W != 2 || s.Image.At(0, 1, 0) != -1 || string(s.Reference.PNG) != "\x00\x01" {
			t.Errorf("sample %+v", s)
		}
		if s := batch[1]; s.Metadata != nil || s.Image.PNG != nil || s.Detections != nil {
			t.Errorf("empty sample %+v", s)
		}
		return []Result{{Score: .1, Parts: map[string]float64{"a": 2}}, Fail("no face found", "%d looks", 2)}, nil
	}})
	status, answer := ask(t, h, "Score", `{"id":3,"samples":[{"id":7,"group":2,"prompt":"p","category":"c","metadata_json":"{\"n\":1}",
		"image":{"float32":{"channels":1,"height":1,"width":2,"data":"AACAPwAAgL8="}},"reference":{"png":"AAE="},"reading":"r",
		"detections":[{"class":"ring","color":"red","box":[0,1,2,3],"score":0.5}]},{"id":9,"metadata_json":""}]}`)
	const want = `{"id":3,"results":[{"id":7,"score":0.1,"parts":{"a":2}},{"id":9,"failure":{"reason":"no face found","message":"2 looks"}}]}`
	if status != 200 || answer != want {
		t.Errorf("%d %s, want\n%s", status, answer, want)
	}
	for _, tensor := range []string{
		`{"channels":1,"height":1,"width":1,"data":"AAAA"}`,
		`{"channels":1,"height":1,"width":3,"data":"AACAPwAAgL8="}`,
		`{"channels":4294967296,"height":4294967296,"width":1,"data":"AACAPwAAgL8="}`,
		`{"channels":0,"height":1,"width":1,"data":""}`,
		`{"channels":-1,"height":-2,"width":1,"data":"AACAPwAAgL8="}`,
	} {
		status, answer := ask(t, h, "Score", `{"id":3,"samples":[{"id":7,"image":{"float32":`+tensor+`}}]}`)
		expect(t, tensor, status, answer, 400, `"invalid_argument","message":"sample 7: image: `)
	}
}

// What Score does wrong is a failure in words, and never a number.
func TestScoreFails(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		score  func(context.Context, []Sample) ([]Result, error)
		status int
		want   string
	}{
		{"NaN", func(context.Context, []Sample) ([]Result, error) { return []Result{{Score: math.NaN()}}, nil },
			200, `{"id":5,"failure":{"reason":"bad score","message":"score is NaN"}}`},
		{"part", func(context.Context, []Sample) ([]Result, error) {
			return []Result{{Parts: map[string]float64{"p": math.Inf(1)}}}, nil
		}, 200, `{"reason":"bad score","message":"part p is +Inf"}`},
		{"error", func(context.Context, []Sample) ([]Result, error) { return []Result{{Err: io.ErrUnexpectedEOF}}, nil },
			200, `{"reason":"refused","message":"unexpected EOF"}`},
		{"length", func(context.Context, []Sample) ([]Result, error) { return make([]Result, 3), nil },
			200, `{"reason":"wrong number of scores","message":"Score returned 3 results for 1 samples"}`},
		{"whole call", func(context.Context, []Sample) ([]Result, error) { return nil, errors.New("no GPU") },
			500, `{"code":"internal","message":"no GPU"}`},
		{"panic", func(context.Context, []Sample) ([]Result, error) { panic("oops") },
			500, `{"code":"internal","message":"panic: handler_test.go:210: oops"}`},
	} {
		status, answer := ask(t, loaded(t, fake{score: c.score}), "Score", `{"id":3,"samples":[{"id":5}]}`)
		expect(t, c.name, status, answer, c.status, c.want)
	}
}

// Calls take turns, and give up when their time is over.
func TestTurns(t *testing.T) {
	t.Parallel()
	begun, goOn := make(chan struct{}, 2), make(chan struct{})
	h := loaded(t, fake{score: func(ctx context.Context, batch []Sample) ([]Result, error) {
		begun <- struct{}{}
		<-goOn
		_, bounded := ctx.Deadline()
		return []Result{{Score: map[bool]float64{true: 1}[bounded]}}, nil
	}})
	first := make(chan string)
	go func() {
		_, answer := ask(t, h, "Score", `{"id":1,"samples":[{"id":5}]}`, "Connect-Timeout-Ms: 60000")
		first <- answer
	}()
	<-begun
	status, answer := ask(t, h, "Score", `{"id":2,"samples":[{"id":5}]}`, "Connect-Timeout-Ms: 30")
	expect(t, "second", status, answer, 504, `"deadline_exceeded","message":"other calls took all the time"`)
	close(goOn)
	if got := <-first; got != `{"id":1,"results":[{"id":5,"score":1}]}` {
		t.Errorf("first: %s, want the score 1 of a call with a deadline", got)
	}
}

// Serve ends when the context does, after the calls that run.
func TestServeFinishes(t *testing.T) {
	t.Parallel()
	begun := make(chan struct{})
	h := loaded(t, fake{score: func(context.Context, []Sample) ([]Result, error) {
		close(begun)
		time.Sleep(50 * time.Millisecond)
		return []Result{{Score: 1}}, nil
	}})
	server := httptest.NewUnstartedServer(nil) // for its listener
	defer server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error)
	go func() { served <- Serve(ctx, server.Listener, h) }()
	go func() { <-begun; cancel() }()
	response, err := http.Post("http://"+server.Listener.Addr().String()+service+"Score", "application/json", strings.NewReader(`{"id":1,"samples":[{"id":5}]}`))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if body, err := io.ReadAll(response.Body); err != nil || string(body) != `{"id":1,"results":[{"id":5,"score":1}]}` {
		t.Errorf("%s, %v", body, err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}
