package wire

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"flowgrpo/internal/jsonfile"
	"flowgrpo/reward/rewardpb"
)

// A Codec is an encoding of messages.
type Codec interface {
	// Name is what recipes and handshakes call it; the content type is
	// application/NAME.
	Name() string
	Marshal(m proto.Message) ([]byte, error)
	// Info decodes an InfoResponse.
	Info(body []byte) (*rewardpb.InfoResponse, error)
	// Reply decodes a ScoreResponse.
	Reply(body []byte) (*Reply, error)
}

// NewCodec returns the codec called name, "json" or "proto".
func NewCodec(name string) (Codec, error) {
	switch name {
	case "json":
		return jsonCodec{}, nil
	case "proto":
		return protoCodec{}, nil
	}
	return nil, fmt.Errorf(`there is no encoding %q; there are "json" and "proto"`, name)
}

type jsonCodec struct{}

func (jsonCodec) Name() string { return "json" }

// Marshal uses the names of the schema and leaves no default out.
func (jsonCodec) Marshal(m proto.Message) ([]byte, error) {
	room := make([]byte, 0, proto.Size(m)*4/3+4096) // base64, and some names
	return protojson.MarshalOptions{UseProtoNames: true, EmitDefaultValues: true}.MarshalAppend(room, m)
}

func (jsonCodec) Info(body []byte) (*rewardpb.InfoResponse, error) {
	if err := checkDepth(body); err != nil {
		return nil, err
	}
	m := new(rewardpb.InfoResponse)
	return m, protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(body, m)
}

func (jsonCodec) Reply(body []byte) (*Reply, error) {
	if err := checkDepth(body); err != nil {
		return nil, err
	}
	return decodeReply(body)
}

// maxDepth is how deeply the JSON of a reply may be nested; the protocol needs 4.
const maxDepth = 16

func checkDepth(body []byte) error {
	if jsonfile.TooDeep(body, maxDepth) >= 0 {
		return fmt.Errorf("nested deeper than %d levels", maxDepth)
	}
	return nil
}

type protoCodec struct{}

func (protoCodec) Name() string { return "proto" }

func (protoCodec) Marshal(m proto.Message) ([]byte, error) { return proto.Marshal(m) }

func (protoCodec) Info(body []byte) (*rewardpb.InfoResponse, error) {
	m := new(rewardpb.InfoResponse)
	return m, proto.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(body, m)
}

func (protoCodec) Reply(body []byte) (*Reply, error) {
	var m rewardpb.ScoreResponse
	if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(body, &m); err != nil {
		return nil, err
	}
	r := &Reply{id: m.Id}
	for _, result := range m.Results {
		if result == nil {
			return nil, errors.New("an empty result")
		}
		r.results = append(r.results, resultOf(result))
	}
	return r, nil
}

func resultOf(m *rewardpb.Result) result {
	out := result{id: m.Id}
	if f := m.Failure; f != nil {
		out.failure = &failure{f.Reason, f.Message}
	}
	if m.Score != nil {
		out.score = number(*m.Score)
	}
	for name, v := range m.Parts {
		out.addPart(name, number(v))
	}
	return out
}
