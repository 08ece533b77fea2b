package host

import (
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"

	"flowgrpo/reward"
	"flowgrpo/reward/plugin"
	"flowgrpo/reward/rewardpb"
	"flowgrpo/reward/wire"
)

// The messages in docs/rewards.md are ones: both sides of the protocol read them.
func TestDocumentedMessages(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/rewards.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(text), "\n## The protocol\n")
	blocks := regexp.MustCompile("(?s)```json\n(.*?)```").FindAllStringSubmatch(section, -1)
	if !ok || len(blocks) != 6 {
		t.Fatalf("%d messages in the section, want 6", len(blocks))
	}
	message := func(i int) string { return strings.TrimSpace(blocks[i][1]) }
	if g := readGreeting(strings.NewReader(message(0) + "\n")); g.err != nil {
		t.Errorf("handshake: %v", g.err)
	}
	codec, err := wire.NewCodec("json")
	if err != nil {
		t.Fatal(err)
	}
	info, err := codec.Info([]byte(message(2)))
	if err != nil || info.Protocol != 1 || info.MaxBatch != 16 || info.MaxScore != 1 {
		t.Errorf("answer of Info: %v, %v", info, err)
	}
	question, request := new(rewardpb.InfoRequest), new(rewardpb.ScoreRequest)
	if err := protojson.Unmarshal([]byte(message(1)), question); err != nil || question.MaxProtocol != 1 || question.Params == nil {
		t.Errorf("question of Info: %v, %v", question, err)
	}
	if err := protojson.Unmarshal([]byte(message(3)), request); err != nil || len(request.Samples) != 2 {
		t.Fatalf("question of Score: %v, %v", request, err)
	}
	reply, err := codec.Reply([]byte(message(4)))
	if err != nil {
		t.Fatal(err)
	}
	results, err := reply.Results(request, info)
	if err != nil || results[1].Score != .25 || len(results[1].Parts) != 2 {
		t.Errorf("answer of Score: %v, %v", results, err)
	}
	if f, ok := results[0].Err.(*reward.Failure); !ok || f.Reason != "no edges" {
		t.Errorf("documented failure: %v", results[0].Err)
	}
	recorder := httptest.NewRecorder()
	recorder.Code = 503
	recorder.Body.WriteString(message(5))
	if e := refusal(recorder.Result(), []byte(message(5))); e.reason != reward.Unavailable || !strings.Contains(e.Error(), "out of memory, try again") {
		t.Errorf("documented error: %v", e)
	}
	h := plugin.Handler(luma{plugin.Float32}, "")
	for _, call := range []struct{ method, body string }{{"Info", message(1)}, {"Score", message(3)}} {
		r := httptest.NewRequestWithContext(t.Context(), "POST", service+call.method, strings.NewReader(call.body))
		r.Header.Set("Content-Type", "application/json")
		recorder := httptest.NewRecorder()
		if h.ServeHTTP(recorder, r); recorder.Code != 200 {
			t.Errorf("the kit answers the question of %s with %d %s", call.method, recorder.Code, recorder.Body)
		}
	}
}
