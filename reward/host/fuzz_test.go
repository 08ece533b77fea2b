package host

import (
	"bytes"
	"net"
	"strings"
	"testing"

	"flowgrpo/internal/costtest"
)

// FuzzGreeting: whatever a program prints first, it is an error of one short line without
// control characters, or an address on this machine.
func FuzzGreeting(f *testing.F) {
	for _, line := range []string{
		`{"flowgrpo_reward":1,"address":"127.0.0.1:41231"}` + "\n", `{"flowgrpo_reward":1,"address":"unix:/tmp/x","encoding":"proto"}` + "\nmore",
		`{"flowgrpo_reward":3,"address":"[::1]:1"}` + "\n", `{"flowgrpo_reward":1,"Address":"192.0.2.1:80"}` + "\n", "Loading model...\n", "\x1b[2J", "{}",
	} {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, out []byte) {
		var g greeting
		costtest.Bounded(t, len(out), func() { g = readGreeting(bytes.NewReader(out)) })
		if g.err != nil {
			if text := g.err.Error(); len(text) > 1000 || strings.ContainsAny(text, "\n\x1b\x00") {
				t.Fatalf("error %q", text)
			}
			return
		}
		if strings.HasPrefix(g.Address, "unix:") {
			return
		}
		host, _, err := net.SplitHostPort(g.Address)
		if err != nil || !net.ParseIP(host).IsLoopback() || *g.Protocol != protocol {
			t.Fatalf("accepted protocol %d at %q", *g.Protocol, g.Address)
		}
	})
}
