package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"

	"flowgrpo/internal/jsonfile"
)

type replyJSON struct {
	ID      uint32       `json:"id"`
	Results []resultJSON `json:"results"`
}

type resultJSON struct {
	ID      uint32                     `json:"id"`
	Score   json.RawMessage            `json:"score"`
	Parts   map[string]json.RawMessage `json:"parts"`
	Failure *failure                   `json:"failure"`
}

// decodeReply takes numbers only where numbers belong, unlike protojson, which takes
// "NaN" and "0.5" in quotes, too, and null for nothing. What else is found there is kept
// as the fault of its sample. Unknown fields are ignored.
func decodeReply(body []byte) (*Reply, error) {
	var m replyJSON
	if err := jsonfile.Decode("", body, &m, false); err != nil {
		return nil, fmt.Errorf("%w%s", err, excerpt(body, err))
	}
	r := &Reply{id: m.ID}
	for _, res := range m.Results {
		out := result{id: res.ID, score: literal(res.Score), failure: res.Failure}
		for name, raw := range res.Parts {
			out.addPart(name, literal(raw))
		}
		r.results = append(r.results, out)
	}
	return r, nil
}

// literal reads a JSON value that should be a number; nil if there is none.
func literal(raw json.RawMessage) *scalar {
	if raw == nil {
		return nil
	}
	s := &scalar{math.NaN(), string(raw)}
	if c := raw[0]; c == '-' || '0' <= c && c <= '9' {
		s.value, _ = strconv.ParseFloat(s.found, 64) // beyond the range: ±Inf
	}
	return s
}

// excerpt shows where a syntax error is: " near ...".
func excerpt(body []byte, err error) string {
	syntax, ok := errors.AsType[*json.SyntaxError](err)
	if !ok {
		return ""
	}
	at := min(max(0, int(syntax.Offset)-1), len(body))
	from, to := max(0, at-16), min(len(body), at+16)
	return fmt.Sprintf(" at byte %d, near %s", at, Line(string(bytes.TrimSpace(body[from:to])), 2*maxWord))
}
