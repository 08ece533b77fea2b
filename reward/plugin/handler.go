package plugin

import (
	"bytes"
	"context"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"runtime/debug"
	"strconv"
	"sync"
	"time"
)

const (
	protocol   = 1
	service    = "/flowgrpo.reward.v1.RewardService/"
	maxRequest = 1 << 30 // bytes
	// How long Info waits for Load, to spare those that are quick a second question.
	infoPatience = 100 * time.Millisecond
)

// Handler serves r in the protocol of docs/rewards.md, JSON only. Requests must bear
// the token, unless it is empty.
func Handler(r Reward, token string) http.Handler {
	s := &server{reward: r, token: token, loaded: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+service+"Info", call(s, s.info))
	mux.HandleFunc("POST "+service+"Score", call(s, s.score))
	return mux
}

type server struct {
	reward Reward
	token  string

	begin   sync.Once
	params  json.RawMessage // what Load was given
	loaded  chan struct{}   // closed when Load has returned
	failed  error           // what it returned
	running chan struct{}   // a place for each call that may run
}

// A callError is an error of the whole call.
type callError struct {
	status int
	Code   string `json:"code"`
	Text   string `json:"message"`
}

func (e *callError) Error() string { return e.Text }

func fail(status int, code, format string, args ...any) *callError {
	return &callError{status, code, fmt.Sprintf(format, args...)}
}

// call makes an HTTP handler of a method.
func call[In, Out any](s *server, method func(context.Context, In) (Out, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		out, err := serve(s, w, r, method)
		if e, ok := err.(*callError); ok {
			answer(w, e.status, e)
		} else if err != nil {
			answer(w, http.StatusInternalServerError, fail(0, "internal", "%v", err))
		} else {
			answer(w, http.StatusOK, out)
		}
	}
}

func serve[In, Out any](s *server, w http.ResponseWriter, r *http.Request, method func(context.Context, In) (Out, error)) (out Out, err error) {
	defer func() {
		if v := recover(); v != nil {
			fmt.Fprintf(os.Stderr, "panic: %v\n%s", v, debug.Stack())
			err = fail(http.StatusInternalServerError, "internal", "panic: %s%v", panicSite(), v)
		}
	}()
	if want := "Bearer " + s.token; s.token != "" && subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), []byte(want)) == 0 {
		return out, fail(http.StatusUnauthorized, "unauthenticated", "the token is missing or wrong")
	}
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/json" {
		return out, fail(http.StatusUnsupportedMediaType, "unimplemented", "Content-Type %q, want application/json", kind)
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if err != nil {
		return out, fail(http.StatusBadRequest, "invalid_argument", "%v", err)
	}
	var in In
	if err := json.Unmarshal(body, &in); err != nil {
		return out, fail(http.StatusBadRequest, "invalid_argument", "%v", err)
	}
	ctx := r.Context()
	if ms, err := strconv.ParseUint(r.Header.Get("Connect-Timeout-Ms"), 10, 40); err == nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(ms)*time.Millisecond)
		defer cancel()
	}
	return method(ctx, in)
}

func answer(w http.ResponseWriter, status int, message any) {
	body, err := json.Marshal(message)
	if err != nil {
		panic(err) // the messages hold nothing that JSON cannot say
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body) // who has left needs no answer
}

func (s *server) info(ctx context.Context, in infoRequest) (infoResponse, error) {
	if in.MinProtocol > protocol || in.MaxProtocol < protocol {
		return infoResponse{}, fail(http.StatusBadRequest, "failed_precondition",
			"this reward speaks protocol %d, and the run %d to %d", protocol, in.MinProtocol, in.MaxProtocol)
	}
	params, err := canonical(in.Params)
	if err != nil {
		return infoResponse{}, fail(http.StatusBadRequest, "invalid_argument", "params: %v", err)
	}
	s.begin.Do(func() { s.load(params) })
	if !bytes.Equal(params, s.params) {
		return infoResponse{}, fail(http.StatusBadRequest, "failed_precondition",
			"this reward was started with the parameters %s, not %s; start another one", s.params, params)
	}
	select {
	case <-s.loaded:
	case <-time.After(infoPatience):
		return infoResponse{Protocol: protocol, Loading: true}, nil
	}
	if s.failed != nil {
		return infoResponse{}, fail(http.StatusBadRequest, "failed_precondition", "%v", s.failed)
	}
	return s.reward.Info().message(), nil
}

// canonical returns a JSON object in one form for all that are equal.
func canonical(object json.RawMessage) (json.RawMessage, error) {
	values := map[string]any{}
	if len(object) > 0 {
		if err := json.Unmarshal(object, &values); err != nil {
			return nil, err
		}
	}
	return json.Marshal(values)
}

// load begins to load the reward.
func (s *server) load(params json.RawMessage) {
	s.params = params
	go func() {
		defer close(s.loaded)
		defer func() {
			if v := recover(); v != nil {
				s.failed = fmt.Errorf("Load: panic: %s%v", panicSite(), v)
			}
		}()
		if l, ok := s.reward.(Loader); ok {
			s.failed = l.Load(params)
		}
		if s.failed == nil {
			s.running = make(chan struct{}, max(1, s.reward.Info().MaxConcurrency))
		}
	}()
}

func (s *server) score(ctx context.Context, in scoreRequest) (scoreResponse, error) {
	batch := make([]Sample, len(in.Samples))
	for i, m := range in.Samples {
		var err error
		if batch[i], err = m.sample(); err != nil {
			return scoreResponse{}, fail(http.StatusBadRequest, "invalid_argument", "sample %d: %v", m.ID, err)
		}
	}
	results, err := s.results(ctx, batch)
	if err != nil {
		return scoreResponse{}, err
	}
	out := scoreResponse{ID: in.ID, Results: make([]resultMessage, len(batch))}
	for i, r := range results {
		out.Results[i] = r.message(batch[i].ID)
	}
	return out, nil
}

// results calls Score when it is its turn, and returns one result per sample.
func (s *server) results(ctx context.Context, batch []Sample) ([]Result, error) {
	select {
	case <-s.loaded:
	default:
		return nil, fail(http.StatusServiceUnavailable, "unavailable", "not loaded; ask for Info until it is")
	}
	if s.failed != nil {
		return nil, fail(http.StatusBadRequest, "failed_precondition", "%v", s.failed)
	}
	select {
	case s.running <- struct{}{}:
		defer func() { <-s.running }()
	case <-ctx.Done():
		return nil, fail(http.StatusGatewayTimeout, "deadline_exceeded", "other calls took all the time")
	}
	results, err := s.reward.Score(ctx, batch)
	if err != nil {
		return nil, fail(http.StatusInternalServerError, "internal", "%v", err)
	}
	if len(results) != len(batch) {
		return repeated(len(batch), Fail("wrong number of scores", "Score returned %d results for %d samples", len(results), len(batch))), nil
	}
	return results, nil
}
