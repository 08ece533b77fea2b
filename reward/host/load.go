package host

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"google.golang.org/protobuf/proto"

	"flowgrpo/reward/rewardpb"
	"flowgrpo/reward/wire"
)

// load asks for Info until the reward is no longer loading. A program listens when it is
// asked; a service may still be on its way.
func (c *conn) load(ctx context.Context, s *settings) error {
	ctx, cancel := context.WithTimeout(ctx, s.loadTimeout)
	defer cancel()
	question := &rewardpb.InfoRequest{MinProtocol: protocol, MaxProtocol: protocol, Name: s.name, Params: s.params}
	patience := time.Now().Add(s.startTimeout)
	message := "loading"
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		info, failed := c.ask(ctx, question, s.startTimeout)
		switch {
		case failed != nil && (c.proc != nil || !failed.broken || time.Now().Add(pause).After(patience)):
			return fmt.Errorf("Info: %w", failed)
		case failed != nil:
		case !info.Loading:
			c.info = info
			return checkInfo(info)
		case info.Message != "":
			message = wire.Line(info.Message, maxExcerpt)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return fmt.Errorf("is not ready within %v (load_timeout): %s", s.loadTimeout, message)
		}
	}
}

// ask asks for Info once.
func (c *conn) ask(ctx context.Context, question *rewardpb.InfoRequest, timeout time.Duration) (*rewardpb.InfoResponse, *callError) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return c.client.info(ctx, question)
}

func checkInfo(info *rewardpb.InfoResponse) error {
	for _, v := range []float64{info.MinScore, info.MaxScore} {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("Info: min_score %g and max_score %g must be finite", info.MinScore, info.MaxScore)
		}
	}
	if info.MinScore > info.MaxScore {
		return fmt.Errorf("Info: min_score %g is above max_score %g", info.MinScore, info.MaxScore)
	}
	info.Name, info.Version = wire.Line(info.Name, 64), wire.Line(info.Version, 64)
	return nil
}

// sameInfo returns an error if a reward that was started again says other things.
func sameInfo(first, now *rewardpb.InfoResponse) error {
	a, b := proto.Clone(first).(*rewardpb.InfoResponse), proto.Clone(now).(*rewardpb.InfoResponse)
	a.Message, b.Message = "", ""
	if !proto.Equal(a, b) {
		return errors.New("says other things in Info than at first; begin again with the new version")
	}
	return nil
}
