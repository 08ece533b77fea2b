package host

import (
	"encoding/json"
	"fmt"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"

	"flowgrpo/reward"
)

// settings are the keys that both kinds have.
type settings struct {
	name         string
	timeout      time.Duration // for a call
	startTimeout time.Duration // until the first sign of life
	loadTimeout  time.Duration // until it is no longer loading
	retries      int
	concurrency  int // 0: what the reward says
	batch        int
	maxReply     int64
	params       *structpb.Struct
}

var settingDocs = []reward.ParamDoc{
	{Key: "timeout", Default: `"60s"`, Summary: "for one call; then the call has failed and a program is stopped"},
	{Key: "start_timeout", Default: `"10s"`, Summary: "until a program says where it listens, or a service answers"},
	{Key: "load_timeout", Default: `"10m"`, Summary: "until the reward is no longer loading"},
	{Key: "retries", Default: "1", Summary: "how often a call is repeated whose reward died or was overloaded; all in all for at most twice the timeout"},
	{Key: "concurrency", Default: "as the reward says", Summary: "calls at the same time; never more than the reward allows"},
	{Key: "batch", Default: "32", Summary: "samples in a call, but whole groups for a groupwise reward; never more than the reward allows"},
	{Key: "max_reply", Default: `"16MiB"`, Summary: "largest reply"},
	{Key: "params", Default: "{}", Summary: "a table that is handed to the reward"},
}

func readSettings(name string, p *reward.Params) (settings, error) {
	s := settings{
		name:         name,
		timeout:      p.Duration("timeout", time.Minute),
		startTimeout: p.Duration("start_timeout", 10*time.Second),
		loadTimeout:  p.Duration("load_timeout", 10*time.Minute),
		retries:      p.Int("retries", 1),
		concurrency:  p.Int("concurrency", 0),
		batch:        p.Int("batch", 32),
		maxReply:     p.Size("max_reply", 16<<20),
	}
	table := p.Table("params")
	if err := p.Err(); err != nil {
		return s, err
	}
	switch {
	case s.retries < 0 || s.retries > 10:
		return s, fmt.Errorf("retries must be in 0 to 10, found %d", s.retries)
	case s.concurrency < 0 || s.concurrency > 1024:
		return s, fmt.Errorf("concurrency must be in 0 to 1024, found %d", s.concurrency)
	case s.batch < 1:
		return s, fmt.Errorf("batch must be at least 1, found %d", s.batch)
	}
	var err error
	s.params, err = structOf(table)
	return s, err
}

// structOf returns a recipe's table as a message.
func structOf(table map[string]any) (*structpb.Struct, error) {
	if table == nil {
		table = map[string]any{}
	}
	text, err := json.Marshal(table)
	if err != nil {
		return nil, fmt.Errorf("params: %w", err)
	}
	out := new(structpb.Struct)
	if err := protojson.Unmarshal(text, out); err != nil {
		return nil, fmt.Errorf("params: %w", err)
	}
	return out, nil
}
