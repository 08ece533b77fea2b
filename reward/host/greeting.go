package host

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"flowgrpo/internal/jsonfile"
	"flowgrpo/reward/wire"
)

// maxGreeting bounds the first line of a program, in bytes.
const maxGreeting = 64 << 10

// A greeting is the handshake line: where the program listens.
type greeting struct {
	Protocol *int   `json:"flowgrpo_reward"`
	Address  string `json:"address"`  // 127.0.0.1:PORT, [::1]:PORT or unix:PATH
	Encoding string `json:"encoding"` // empty means json

	err error
}

// readGreeting reads the first line of r.
func readGreeting(r io.Reader) (g greeting) {
	line, err := firstLine(r)
	if err != nil {
		return greeting{err: err}
	}
	if jsonfile.Decode("", line, &g, false) != nil || g.Protocol == nil {
		return greeting{err: fmt.Errorf("expected the handshake line on standard output, got %q; print what is for people to standard error",
			wire.Line(string(line), 80))}
	}
	if *g.Protocol != protocol {
		return greeting{err: fmt.Errorf("speaks protocol %d, this version supports %d; rebuild the program", *g.Protocol, protocol)}
	}
	g.err = checkAddress(g.Address)
	return g
}

// firstLine reads byte blocks up to the first newline. What follows it in its block is
// lost, as all of what is printed later.
func firstLine(r io.Reader) ([]byte, error) {
	block := make([]byte, maxGreeting)
	n := 0
	for n < len(block) {
		k, err := r.Read(block[n:])
		if end := bytes.IndexByte(block[n:n+k], '\n'); end >= 0 {
			return block[:n+end], nil
		}
		if n += k; err != nil {
			if n > 0 {
				return nil, fmt.Errorf("closed its standard output after %q, before the end of the handshake line", wire.Line(string(block[:n]), 80))
			}
			return nil, errors.New("closed its standard output without the handshake line")
		}
	}
	return nil, fmt.Errorf("expected the handshake line on standard output, got %d bytes without a newline that begin with %q", n, wire.Line(string(block), 80))
}

func checkAddress(address string) error {
	if path, ok := strings.CutPrefix(address, "unix:"); ok && path != "" {
		return nil
	}
	host, port, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err != nil || port == "" || ip == nil || !ip.IsLoopback() {
		return fmt.Errorf("listens on %q, want 127.0.0.1:PORT or unix:PATH", wire.Line(address, 80))
	}
	return nil
}
