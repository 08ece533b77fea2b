// Package host makes rewards of programs that it starts (kind "exec") and of services
// (kind "http"), in any language, which speak the protocol of docs/rewards.md. It is
// made for rewards that go wrong: whatever they do ends in a [reward.Failure] for each
// sample that has no score, in bounded time.
//
// A program has a process group, a working folder and an environment of its own, and
// ends with the run. On Linux it is killed even when the run is; elsewhere it has to
// see the end of its standard input then, and on Windows its children are not found.
package host

import (
	"context"
	"sync/atomic"

	"flowgrpo/reward"
	"flowgrpo/reward/rewardpb"
	"flowgrpo/reward/wire"
)

// protocol is the version of the protocol.
const protocol = 1

func init() {
	reward.Register(execDoc, newExec)
	reward.Register(httpDoc, newHTTP)
}

// A StartError is why a reward could not be started when it was made: its program or
// service is not there, breaks the protocol, or wants what the task does not have.
type StartError struct {
	Reward string
	Err    error
}

// Error implements error; it leaves the name out, which [reward.New] says.
func (e *StartError) Error() string { return e.Err.Error() }

// Unwrap returns the details.
func (e *StartError) Unwrap() error { return e.Err }

// remote is a reward at the other end of a connection.
type remote struct {
	settings
	info    *rewardpb.InfoResponse // what it said at first; it has to stay with it
	encoder wire.Encoder
	super   *supervisor
	turns   chan struct{} // a place for each call at a time
	calls   atomic.Uint32 // numbers of calls
	samples atomic.Uint32 // ids of samples
}

// open connects to a reward and waits until it is ready.
func open(s settings, deps reward.Deps, p policy, start func(context.Context) (*conn, error)) (*remote, error) {
	r := &remote{settings: s}
	var err error
	r.super, err = newSupervisor(p, func(ctx context.Context) (*conn, error) {
		c, err := start(ctx)
		if err == nil && r.info != nil {
			err = sameInfo(r.info, c.info)
		}
		if err != nil && c != nil {
			c.close()
			c = nil
		}
		return c, err
	})
	if err != nil {
		return nil, &StartError{s.name, err}
	}
	r.info = r.super.conn.info
	r.encoder = wire.Encoder{Info: r.info, Deps: deps}
	if err := r.encoder.Check(); err != nil {
		r.super.close()
		return nil, &StartError{s.name, err}
	}
	r.batch = bounded(r.batch, r.info.MaxBatch)
	if r.concurrency == 0 {
		r.concurrency = 1024
	}
	r.turns = make(chan struct{}, bounded(r.concurrency, max(1, r.info.MaxConcurrency)))
	return r, nil
}

// bounded returns n, or limit if that is less and not 0.
func bounded(n int, limit uint32) int {
	if limit > 0 && uint64(n) > uint64(limit) {
		return int(limit)
	}
	return n
}

// Name implements [reward.Reward].
func (r *remote) Name() string { return r.name }

// Info implements [reward.Described].
func (r *remote) Info() reward.Info {
	info := reward.Info{
		Name: r.info.Name, Version: r.info.Version, Groupwise: r.info.Groupwise, Evaluation: r.info.EvaluationOnly,
		Deterministic: r.info.Deterministic, Min: r.info.MinScore, Max: r.info.MaxScore,
	}
	if info.Groupwise { // others are cut to size here
		info.MaxBatch = int(r.info.MaxBatch)
	}
	return info
}

// Close stops a program, and forgets a service. Calls of Score must have returned.
func (r *remote) Close() error {
	r.super.close()
	return nil
}
