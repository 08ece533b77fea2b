package host

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"flowgrpo/reward"
	"flowgrpo/reward/rewardpb"
	"flowgrpo/reward/wire"
)

const (
	service    = "/flowgrpo.reward.v1.RewardService/"
	maxExcerpt = 512 // bytes of an error that are repeated
)

// A client speaks the protocol with one address.
type client struct {
	http     *http.Client
	base     string // such as http://127.0.0.1:41231
	token    string // empty: none
	codec    wire.Codec
	maxReply int64
}

// newClient returns a client that follows no redirects, accepts no compression, and
// uses no proxy unless transport does. unix is the path of a socket, or empty.
func newClient(base, unix, token string, codec wire.Codec, maxReply int64) *client {
	transport := &http.Transport{
		Proxy:                  http.ProxyFromEnvironment, // never for this machine itself
		DisableCompression:     true,
		MaxResponseHeaderBytes: 64 << 10,
		MaxIdleConnsPerHost:    1024,
		IdleConnTimeout:        time.Minute,
		ForceAttemptHTTP2:      true,
	}
	if unix != "" {
		transport.Proxy = nil
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", unix)
		}
	}
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &client{&http.Client{Transport: transport, CheckRedirect: stay}, base, token, codec, maxReply}
}

func (c *client) close() { c.http.CloseIdleConnections() }

// A callError is why a call has no reply that can be used.
type callError struct {
	reason reward.Reason
	retry  bool // asking again may help
	broken bool // there was no answer: the other side is gone, or hangs
	err    error
}

func (e *callError) Error() string { return e.err.Error() }

func (e *callError) Unwrap() error { return e.err }

func badReply(format string, args ...any) *callError {
	return &callError{reason: reward.BadReply, err: fmt.Errorf(format, args...)}
}

// score returns the decoded reply to an encoded ScoreRequest.
func (c *client) score(ctx context.Context, request []byte) (*wire.Reply, *callError) {
	body, failed := c.call(ctx, "Score", request)
	if failed != nil {
		return nil, failed
	}
	reply, err := c.codec.Reply(body)
	if err != nil {
		return nil, badReply("the reply cannot be read: %w", err)
	}
	return reply, nil
}

// info returns the answer to m, whose protocol is one that m allows.
func (c *client) info(ctx context.Context, m *rewardpb.InfoRequest) (*rewardpb.InfoResponse, *callError) {
	request, err := c.codec.Marshal(m)
	if err != nil {
		return nil, badReply("the question cannot be written: %w", err)
	}
	body, failed := c.call(ctx, "Info", request)
	if failed != nil {
		return nil, failed
	}
	info, err := c.codec.Info(body)
	if err != nil {
		return nil, badReply("the reply to Info cannot be read: %w", err)
	}
	if info.Protocol < m.MinProtocol || info.Protocol > m.MaxProtocol {
		return nil, badReply("speaks protocol %d, and this version of flowgrpo %d", info.Protocol, protocol)
	}
	return info, nil
}

// call posts an encoded message and returns the encoded answer.
func (c *client) call(ctx context.Context, method string, message []byte) ([]byte, *callError) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+service+method, bytes.NewReader(message))
	if err != nil {
		return nil, &callError{reason: reward.Unavailable, err: err}
	}
	request.Header.Set("Content-Type", "application/"+c.codec.Name())
	request.Header.Set("Connect-Protocol-Version", "1")
	request.Header.Set("User-Agent", "flowgrpo")
	if deadline, ok := ctx.Deadline(); ok {
		request.Header.Set("Connect-Timeout-Ms", strconv.FormatInt(max(1, time.Until(deadline).Milliseconds()), 10))
	}
	if c.token != "" {
		request.Header.Set("Authorization", "Bearer "+c.token)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, noAnswer(ctx, err)
	}
	defer response.Body.Close() // what is left unread ends the connection
	body, err := io.ReadAll(io.LimitReader(response.Body, c.maxReply+1))
	if err != nil {
		return nil, noAnswer(ctx, err)
	}
	if int64(len(body)) > c.maxReply {
		return nil, badReply("the reply has more than %d bytes (max_reply)", c.maxReply)
	}
	if response.StatusCode != http.StatusOK {
		return nil, refusal(response, body)
	}
	return body, c.checkHeader(response.Header)
}

// noAnswer is the error of a connection that broke, or of a deadline.
func noAnswer(ctx context.Context, err error) *callError {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return &callError{reason: reward.TimedOut, broken: true, err: errors.New("no answer in time")}
	}
	if e := (*url.Error)(nil); errors.As(err, &e) {
		err = e.Err
	}
	return &callError{reason: reward.Unavailable, retry: true, broken: true, err: fmt.Errorf("no answer: %w", err)}
}

func (c *client) checkHeader(h http.Header) *callError {
	kind, _, _ := mime.ParseMediaType(h.Get("Content-Type"))
	if want := "application/" + c.codec.Name(); kind != want {
		return badReply("the reply has the Content-Type %.64q, want %q", h.Get("Content-Type"), want)
	}
	if coding := h.Get("Content-Encoding"); coding != "" && coding != "identity" {
		return badReply("the reply has the Content-Encoding %.64q, which nobody asked for", coding)
	}
	return nil
}

// refusal is the error that the other side answers with.
func refusal(response *http.Response, body []byte) *callError {
	var e struct{ Code, Message string }
	if err := json.Unmarshal(body, &e); err != nil || e.Code == "" {
		status := response.StatusCode
		err := fmt.Errorf("answered with HTTP %s: %s", strings.TrimSpace(response.Status), wire.Line(string(body), maxExcerpt))
		if status == http.StatusTooManyRequests || status >= 500 {
			return &callError{reason: reward.Unavailable, retry: true, err: err}
		}
		return &callError{reason: reward.Refused, err: err}
	}
	out := &callError{reason: reward.Refused, err: fmt.Errorf("answered with the error %s: %s", wire.Line(e.Code, 32), wire.Line(e.Message, maxExcerpt))}
	switch e.Code {
	case "unavailable", "resource_exhausted":
		out.reason, out.retry = reward.Unavailable, true
	case "deadline_exceeded":
		out.reason = reward.TimedOut
	}
	return out
}
