package rewards

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"image/png"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"flowgrpo/reward"
	"flowgrpo/task"
)

// replies are the shapes of answers that endpoints give, by the prompt of the picture.
var replies = map[string]struct {
	status int
	body   string
	score  float64
	reason string // of the failure; "" if there is a score
}{
	"graded": {200, `{"id":"chatcmpl-1","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant",
		"content":"All of it is there.\n\n**Grade: 8**"},"finish_reason":"stop"}],"usage":{"total_tokens":310}}`, 0.8, ""},
	"changed its mind": {200, `{"choices":[{"message":{"content":"At first grade: 9, but the dog is missing.\nGrade: 2.5"}}]}`, 0.25, ""},
	"refusal field":    {200, `{"choices":[{"message":{"content":null,"refusal":"I can't assist with that."},"finish_reason":"stop"}]}`, 0, "refused"},
	"refusal in words": {200, `{"choices":[{"message":{"content":"I'm sorry, I cannot judge this picture."},"finish_reason":"stop"}]}`, 0, "no grade"},
	"filtered":         {200, `{"choices":[{"message":{"content":""},"finish_reason":"content_filter"}]}`, 0, "filtered"},
	"cut":              {200, `{"choices":[{"message":{"content":"The picture shows a"},"finish_reason":"length"}]}`, 0, "cut"},
	"beyond the scale": {200, `{"choices":[{"message":{"content":"Grade: 85"},"finish_reason":"stop"}]}`, 0, "no grade"},
	"no choices":       {200, `{"choices":[]}`, 0, "bad answer"},
	"bad request":      {400, `{"error":{"message":"image too small","type":"invalid_request_error"}}`, 0, "endpoint refused"},
	"always busy":      {429, `{"error":{"message":"Rate limit reached","type":"requests","code":"rate_limit_exceeded"}}`, 0, "endpoint unavailable"},
	"busy at first":    {200, `{"choices":[{"message":{"content":"Grade: 10"}}]}`, 1, ""},
	"down at first":    {200, `{"choices":[{"message":{"content":"Grade: 0"}}]}`, 0, ""},
}

// chat is an endpoint that answers as replies says.
func chat(t *testing.T) *httptest.Server {
	var mu sync.Mutex
	asked := map[string]int{}
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		prompt := readQuestion(t, r)
		mu.Lock()
		asked[prompt]++
		first := asked[prompt] == 1
		mu.Unlock()
		reply := replies[prompt]
		switch {
		case prompt == "busy at first" && first:
			w.Header().Set("Retry-After", "0.05")
			reply.status = http.StatusTooManyRequests
		case prompt == "down at first" && first:
			reply.status = http.StatusBadGateway
		case reply.status == http.StatusTooManyRequests:
			w.Header().Set("Retry-After", "0.1")
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(reply.status)
		fmt.Fprint(w, reply.body)
	}))
}

// readQuestion checks a request and returns the prompt in it.
func readQuestion(t *testing.T, r *http.Request) string {
	var q struct {
		Model    string
		Messages []struct {
			Role    string
			Content json.RawMessage
		}
	}
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		t.Error(err)
	}
	if r.URL.Path != "/v1/chat/completions" || q.Model != "judge-7b" || r.Header.Get("Authorization") != "Bearer secret" || len(q.Messages) != 2 {
		t.Errorf("asked %s for model %q with %q, %d messages", r.URL.Path, q.Model, r.Header.Get("Authorization"), len(q.Messages))
		return ""
	}
	var parts []struct {
		Text     string
		ImageURL struct{ URL string } `json:"image_url"`
	}
	if err := json.Unmarshal(q.Messages[1].Content, &parts); err != nil || len(parts) != 2 {
		t.Errorf("content %s: %v", q.Messages[1].Content, err)
		return ""
	}
	data, _ := strings.CutPrefix(parts[1].ImageURL.URL, "data:image/png;base64,")
	if _, err := png.Decode(base64.NewDecoder(base64.StdEncoding, strings.NewReader(data))); err != nil {
		t.Errorf("the picture: %v", err)
	}
	return strings.TrimPrefix(parts[0].Text, "The prompt: ")
}

func TestVLMJudge(t *testing.T) {
	endpoint := chat(t)
	t.Cleanup(endpoint.Close)
	t.Setenv("VLM_KEY", "secret")
	r := open(t, "exec", reward.Deps{}, map[string]any{
		"command": []any{python(t, "vlm_judge.py")}, "env": []any{"VLM_KEY"},
		"params": map[string]any{"url": endpoint.URL + "/v1", "model": "judge-7b", "patience": 1.5},
	})
	var batch []reward.Sample
	for prompt := range replies {
		batch = append(batch, reward.Sample{Prompt: task.Prompt{Text: prompt}, Image: task.NewImage(3, 8, 8)})
	}
	for i, got := range score(t, r, batch) {
		prompt := batch[i].Prompt.Text
		want := replies[prompt]
		switch {
		case want.reason == "" && (got.Err != nil || got.Score != want.score):
			t.Errorf("%s: score %v, error %v, want %v", prompt, got.Score, got.Err, want.score)
		case want.reason != "" && (got.Err == nil || !strings.Contains(got.Err.Error(), want.reason)):
			t.Errorf("%s: score %v, error %v, want %q", prompt, got.Score, got.Err, want.reason)
		}
	}
}

// The pictures of a call share its patience: they are asked for as often as there is time
// in all, and once each after that.
func TestVLMJudgeGivesUp(t *testing.T) {
	var asked atomic.Int64
	busy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.Header().Set("Retry-After", "0.1")
		w.WriteHeader(http.StatusTooManyRequests)
	}))
	t.Cleanup(busy.Close)
	r := open(t, "exec", reward.Deps{}, map[string]any{
		"command": []any{python(t, "vlm_judge.py")},
		"params":  map[string]any{"url": busy.URL, "model": "m", "patience": 0.5, "concurrency": 1},
	})
	batch := []reward.Sample{sign(t, "A", "A"), sign(t, "B", "B"), sign(t, "C", "C"), sign(t, "D", "D")}
	for i, got := range score(t, r, batch) {
		if got.Err == nil || !strings.Contains(got.Err.Error(), "endpoint unavailable") {
			t.Errorf("picture %d: score %v, error %v, want that the endpoint is not available", i, got.Score, got.Err)
		}
	}
	if most := int64(1 + 5 + 3); asked.Load() > most {
		t.Errorf("asked %d times, want at most %d: every 0.1 s of 0.5 s for the first, and once each", asked.Load(), most)
	}
}
