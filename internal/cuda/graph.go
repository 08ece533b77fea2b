//go:build gpu

package cuda

// #include "driver.h"
import "C"

import "errors"

// A Graph is recorded work, put on a stream in one piece as often as wanted.
type Graph struct {
	context    *Context
	executable C.CUgraphExec
}

// Capture records what record puts on the stream, and on streams that wait for it and that it waits
// for, instead of doing it. Meanwhile, other goroutines may use the device; record itself must not
// wait for any stream of the recording.
func (s *Stream) Capture(record func() error) (*Graph, error) {
	defer s.context.Enter()()
	// Relaxed, since to load code lazily, as cuBLASLt may at the first run of a plan, is forbidden else.
	err := failure(C.int(C.cuStreamBeginCapture(s.handle(), C.CU_STREAM_CAPTURE_MODE_RELAXED)))
	if err != nil {
		return nil, s.tried(err, "begin a recording")
	}
	failed := s.record(record)
	var graph C.CUgraph
	err = failure(C.int(C.cuStreamEndCapture(s.handle(), &graph)))
	if graph != nil {
		defer C.cuGraphDestroy(graph)
	}
	if failed != nil {
		return nil, failed
	}
	if err != nil {
		return nil, s.tried(err, "end a recording")
	}
	g := &Graph{context: s.context}
	err = failure(C.int(C.cuGraphInstantiateWithFlags(&g.executable, graph, 0)))
	if err != nil {
		return nil, s.tried(err, "make a recording ready")
	}
	return g, nil
}

// record calls f. If f panics, it ends the recording first: the stream would be of no use any more.
func (s *Stream) record(f func() error) error {
	done := false
	defer func() {
		if !done {
			var graph C.CUgraph
			C.cuStreamEndCapture(s.handle(), &graph)
			if graph != nil {
				C.cuGraphDestroy(graph)
			}
		}
	}()
	err := f()
	done = true
	return err
}

// Replay puts the recorded work on the stream.
func (s *Stream) Replay(g *Graph) error {
	if g.executable == nil {
		return s.tried(errors.New("it is closed"), "replay a recording")
	}
	defer s.context.Enter()()
	return s.tried(failure(C.int(C.cuGraphLaunch(g.executable, s.handle()))), "replay a recording")
}

// Close forgets the recording.
func (g *Graph) Close() error {
	if g.executable == nil {
		return nil
	}
	defer g.context.Enter()()
	err := failure(C.int(C.cuGraphExecDestroy(g.executable)))
	g.executable = nil
	return tried(err, "forget a recording on %v", g.context.info)
}
