package wire

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"flowgrpo/internal/costtest"
	"flowgrpo/reward"
	"flowgrpo/reward/rewardpb"
)

// request has the samples 7 and 8.
var request = &rewardpb.ScoreRequest{Id: 5, Samples: []*rewardpb.Sample{{Id: 7}, {Id: 8}}}

// results decodes a reply to request of a reward that promises scores in [0, 1].
func results(c Codec, body []byte) ([]reward.Result, error) {
	reply, err := c.Reply(body)
	if err != nil {
		return nil, err
	}
	return reply.Results(request, &rewardpb.InfoResponse{MaxScore: 1})
}

// check compares an error with a reason, "" for any error that is no Failure, and a text.
func check(t *testing.T, what string, err error, reason reward.Reason, text string) {
	t.Helper()
	var got reward.Reason
	if f := (*reward.Failure)(nil); errors.As(err, &f) {
		got, err = f.Reason, f.Err
	}
	if err == nil || got != reason || !strings.Contains(err.Error(), text) {
		t.Errorf("%s: %q: %v, want %q: %s", what, got, err, reason, text)
	}
}

func TestReply(t *testing.T) {
	t.Parallel()
	want := []reward.Result{{Score: .25}, {Score: 1, Parts: map[string]float64{"a": -2, "b b": 1e6}}}
	for _, body := range []string{
		`{"id":5,"results":[{"id":7,"score":0.25},{"id":8,"score":1,"parts":{"a":-2,"b b":1e6}}]}`,
		` {"results":[{"parts":{"b b":1000000.0,"a":-2.0},"id":8,"score":1.0000000000001},{"id":7,"score":25e-2,"parts":{},"failure":null,"new":[{}]}],"id":5} `,
	} {
		got, err := results(jsonCodec{}, []byte(body))
		if err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		if math.Abs(got[1].Score-1) < 1e-9 { // what rounding may add to a bound
			got[1].Score = 1
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, want %v", body, got, want)
		}
	}
	one, quarter := 1., .25
	body, err := proto.Marshal(&rewardpb.ScoreResponse{Id: 5, Results: []*rewardpb.Result{
		{Id: 8, Score: &one, Parts: map[string]float64{"a": -2, "b b": 1e6}}, {Id: 7, Score: &quarter}}})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := results(protoCodec{}, body); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("proto: %v, %v, want %v", got, err, want)
	}
}

// Replies that do not answer the request are refused as a whole.
func TestReplyIsRefused(t *testing.T) {
	t.Parallel()
	const fine = `{"id":7,"score":1},{"id":8,"score":1}`
	for _, c := range []struct {
		body   string
		reason reward.Reason
		text   string
	}{
		{``, "", "is empty"},
		{`[]`, "", "found [], want an object"},
		{`{"id":5,"results":[` + fine + `]} {}`, "", "more than one JSON value"},
		{`{"id":5,"results":[{"id":7,"score":NaN},{"id":8,"score":1}]}`, "", `invalid character 'N' looking for beginning of value at byte 35, near`},
		{`{"id":5,"results":[{"id":"7","score":1},{"id":8,"score":1}]}`, "", `results[0].id is "7", want a whole number of 32 bits, not negative`},
		{`{"id":5,"results":[{"id":7.5,"score":1},{"id":8,"score":1}]}`, "", "results[0].id is 7.5, want a whole number"},
		{`{"id":5,"results":[{"id":-7,"score":1},{"id":8,"score":1}]}`, "", "results[0].id is -7, want a whole number"},
		{`{"id":5,"results":{"7":1,"8":1}}`, "", `results is {"7":1,"8":1}, want an array`},
		{`{"id":5,"results":[{"id":7,"score":1,"parts":[1]},{"id":8,"score":1}]}`, "", "results[0].parts is [1], want an object"},
		{`{"id":5,"results":[{"id":7,"score":1,"score":2},{"id":8,"score":1}]}`, "", `key "results[0].score" appears twice`},
		{`{"id":5,"results":[{"id":7,"Score":1},{"id":8,"score":1}]}`, "", `key "results[0].Score": keys are case-sensitive`},
		{`{"id":5,"results":[` + fine + `],"x":"\ud800"}`, "", "half of a surrogate pair"},
		{`{"id":5,"results":` + strings.Repeat("[", 1e6), "", "nested deeper than 16 levels"},
		{`{"id":5,"x":` + strings.Repeat(`{"a":`, 17) + "1" + strings.Repeat("}", 17) + "}", "", "nested deeper than 16 levels"},
		{`{"id":4,"results":[` + fine + `]}`, reward.BadReply, "the reply has the id 4, want 5"},
		{`{"results":[` + fine + `]}`, reward.BadReply, "the reply has the id 0, want 5"},
		{`{"id":5}`, reward.BadLength, "returned 0 results for 2 samples"},
		{`{"id":5,"results":null}`, reward.BadLength, "returned 0 results for 2 samples"},
		{`{"id":5,"results":[{"id":7,"score":1}]}`, reward.BadLength, "returned 1 results for 2 samples"},
		{`{"id":5,"results":[` + fine + `,{"id":9,"score":1}]}`, reward.BadLength, "returned 3 results for 2 samples"},
		{`{"id":5,"results":[{"id":7,"score":1},{"id":9,"score":1}]}`, reward.BadReply, "a result for the sample id 9, which the request does not have"},
		{`{"id":5,"results":[{"score":1},{"id":8,"score":1}]}`, reward.BadReply, "a result for the sample id 0"},
		{`{"id":5,"results":[{"id":7,"score":1},{"id":7,"score":1}]}`, reward.BadReply, "two results for the sample id 7"},
		{`{"id":5,"results":[null,{"id":7,"score":1}]}`, reward.BadReply, "a result for the sample id 0"},
	} {
		_, err := results(jsonCodec{}, []byte(c.body))
		check(t, c.body[:min(len(c.body), 90)], err, c.reason, c.text)
	}
	for _, body := range []string{"\xff\xff\xff", "\x12\x05ab", strings.Repeat("\x13", 1e5)} {
		if _, err := results(protoCodec{}, []byte(body)); err == nil {
			t.Errorf("proto %.10q: no error", body)
		}
	}
}

// What is wrong with one result fails its sample only.
func TestResultFails(t *testing.T) {
	t.Parallel()
	many := make([]string, maxParts+1)
	for i := range many {
		many[i] = fmt.Sprintf(`"p%d":1`, i)
	}
	for _, c := range []struct {
		result string
		reason reward.Reason
		text   string
	}{
		{`"score":null`, reward.BadScore, "score must be a finite number with abs <= 1e+06, found null"},
		{`"score":"0.5"`, reward.BadScore, `found "0.5"`},
		{`"score":"NaN"`, reward.BadScore, `found "NaN"`},
		{`"score":"Infinity"`, reward.BadScore, `found "Infinity"`},
		{`"score":true`, reward.BadScore, "found true"},
		{`"score":[1]`, reward.BadScore, "found [1]"},
		{`"score":{"value":1}`, reward.BadScore, `found {"value":1}`},
		{`"score":1e300`, reward.BadScore, "found 1e300"},
		{`"score":-1e999`, reward.BadScore, "found -1e999"},
		{`"score":1.5`, reward.BadScore, "score is 1.5, outside of the promised [0, 1]"},
		{`"score":-0.001`, reward.BadScore, "score is -0.001, outside"},
		{`"parts":{}`, reward.BadReply, "neither a score nor a failure"},
		{`"score":1,"failure":{}`, reward.BadReply, "both a score and a failure"},
		{`"score":1,"parts":{"a":null}`, reward.BadScore, `part "a" must be a finite number with abs <= 1e+06, found null`},
		{`"score":1,"parts":{"a":-1e7}`, reward.BadScore, `part "a" must be`},
		{`"score":1,"parts":{"b":1e7,"a":-1e7,"":1,"c":null}`, reward.BadReply, "a name is printable"},
		{`"score":1,"parts":{"":1}`, reward.BadReply, "a name is printable"},
		{`"score":1,"parts":{"a\u001b[2J":1}`, reward.BadReply, "a name is printable"},
		{`"score":1,"parts":{"` + strings.Repeat("n", maxWord+1) + `":1}`, reward.BadReply, "a name is printable and has 1 to 64 bytes"},
		{`"score":1,"parts":{` + strings.Join(many, ",") + `}`, reward.BadReply, "65 parts, at most 64"},
		{`"failure":{"reason":"no face\nfound","message":"looked\u001b[31m twice"}`, "no face found", "looked\ufffd[31m twice"},
		{`"failure":{"message":"no"}`, reward.Refused, "no"},
		{`"failure":{"reason":"dropped with its group","message":"no"}`, reward.Refused, "dropped with its group: no"},
		{`"failure":{"reason":"part failed","message":"no"}`, reward.Refused, "part failed: no"},
		{`"failure":{"reason":"` + strings.Repeat("ü", 40) + `"}`, reward.Reason(strings.Repeat("ü", 32)), ""},
	} {
		got, err := results(jsonCodec{}, []byte(`{"id":5,"results":[{"id":7,`+c.result+`},{"id":8,"score":0.5}]}`))
		if err != nil {
			t.Errorf("%s: the reply is refused: %v", c.result, err)
			continue
		}
		check(t, c.result[:min(len(c.result), 90)], got[0].Err, c.reason, c.text)
		if got[1].Err != nil || got[1].Score != .5 || got[0].Score != 0 || got[0].Parts != nil {
			t.Errorf("%s: results %v", c.result, got)
		}
	}
	for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), 2e6} {
		body, err := proto.Marshal(&rewardpb.ScoreResponse{Id: 5, Results: []*rewardpb.Result{{Id: 7, Score: &v}, {Id: 8, Failure: &rewardpb.Failure{}}}})
		if err != nil {
			t.Fatal(err)
		}
		got, err := results(protoCodec{}, body)
		if err != nil {
			t.Fatal(err)
		}
		check(t, fmt.Sprint("proto ", v), got[0].Err, reward.BadScore, fmt.Sprintf("score must be a finite number with abs <= 1e+06, found %g", v))
		check(t, "proto failure", got[1].Err, reward.Refused, "")
	}
}

// Whatever comes, it is an error or one usable result per sample.
func FuzzReply(f *testing.F) {
	for _, s := range []string{
		`{"id":5,"results":[{"id":7,"score":0.25},{"id":8,"score":1,"parts":{"a":-2}}]}`,
		`{"id":5,"results":[{"id":7,"score":null},{"id":8,"failure":{"reason":"r","message":"m"}}]}`,
		"\b\x05\x12\v\b\a\x11\x00\x00\x00\x00\x00\x00\xf0?\x12\v\b\b\x11\x00\x00\x00\x00\x00\x00\xf0?",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, c := range []Codec{jsonCodec{}, protoCodec{}} {
			var got []reward.Result
			var err error
			costtest.Bounded(t, len(body), func() {
				got, err = results(c, body)
				_, _ = c.Info(body) // must not panic
			})
			if err != nil && len(err.Error()) > 2*len(body)+1000 {
				t.Fatalf("an error of %d bytes", len(err.Error()))
			}
			if err == nil && len(got) != len(request.Samples) {
				t.Fatalf("%d results", len(got))
			}
			for _, r := range got {
				if r.Err == nil && !(0-1e-8 <= r.Score && r.Score <= 1+1e-8) {
					t.Fatalf("score %v", r.Score)
				}
				for _, v := range r.Parts {
					if !(math.Abs(v) <= reward.MaxScore) {
						t.Fatalf("part %v", v)
					}
				}
			}
		}
	})
}
