package host

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"

	"connectrpc.com/connect"

	"flowgrpo/reward/rewardpb"
)

// connectLuma is luma by the generated code of another library.
type connectLuma struct{}

func (connectLuma) Info(_ context.Context, r *connect.Request[rewardpb.InfoRequest]) (*connect.Response[rewardpb.InfoResponse], error) {
	if r.Msg.Name != "mine" || r.Msg.MinProtocol > 1 || r.Msg.MaxProtocol < 1 {
		return nil, connect.NewError(connect.CodeFailedPrecondition, fmt.Errorf("question %v", r.Msg))
	}
	return connect.NewResponse(&rewardpb.InfoResponse{Protocol: 1, Version: "1.2", Image: "float32", MaxConcurrency: 2}), nil
}

func (connectLuma) Score(_ context.Context, r *connect.Request[rewardpb.ScoreRequest]) (*connect.Response[rewardpb.ScoreResponse], error) {
	out := &rewardpb.ScoreResponse{Id: r.Msg.Id}
	for _, s := range r.Msg.Samples {
		data := s.Image.GetFloat32().Data
		score := float64(data[len(data)-1]) + float64(data[len(data)-2])/256
		for i := 0; i < len(data); i += 4 {
			score += float64(data[i+3])
		}
		out.Results = append(out.Results, &rewardpb.Result{Id: s.Id, Score: &score, Parts: map[string]float64{"group": float64(s.Group)}})
	}
	return connect.NewResponse(out), nil
}

// serveConnect is a program that listens on a socket and speaks protobuf.
func serveConnect() {
	path := filepath.Join(os.Getenv("TMPDIR"), "socket")
	l, err := net.Listen("unix", path)
	if err != nil {
		panic(err)
	}
	greet(fmt.Sprintf(`{"flowgrpo_reward":1,"address":"unix:%s","encoding":"proto"}`, path))
	_, h := rewardpb.NewRewardServiceHandler(connectLuma{})
	panic(http.Serve(l, h))
}
