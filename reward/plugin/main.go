package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// What the environment says.
const (
	tokenVariable  = "FLOWGRPO_REWARD_TOKEN"  // what requests must bear
	listenVariable = "FLOWGRPO_REWARD_LISTEN" // the address of a standing service
)

// How long calls that are running may go on when the program is to stop.
const grace = 400 * time.Millisecond

// Main serves r until the program is to end, and ends it. It is all that main does.
//
// Started by a run, it listens on a free port of this machine, tells the run which on
// standard output, and ends when the run closes standard input. From then on what is
// printed to os.Stdout goes to standard error. With FLOWGRPO_REWARD_LISTEN=HOST:PORT in
// the environment it is a service of its own instead, at that address.
//
// SIGTERM ends both. Calls that are running have a moment to finish.
func Main(r Reward) {
	if err := run(r); err != nil {
		fmt.Fprintln(os.Stderr, "reward:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func run(r Reward) error {
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer cancel()
	token := os.Getenv(tokenVariable)
	if address := os.Getenv(listenVariable); address != "" {
		listener, err := net.Listen("tcp", address)
		if err != nil {
			return err
		}
		fmt.Fprintln(os.Stderr, "reward: listening on", listener.Addr())
		return Serve(ctx, listener, Handler(r, token))
	}
	if token == "" {
		return errors.New(`a run starts this program, by command = ["` + os.Args[0] + `"] in its recipe; ` +
			listenVariable + "=HOST:PORT makes it a service")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	stdout := os.Stdout
	os.Stdout = os.Stderr
	line, err := json.Marshal(handshake{protocol, listener.Addr().String()})
	if err != nil {
		return err
	}
	if _, err := stdout.Write(append(line, '\n')); err != nil {
		return err
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // the run is gone, or wants this program to go
		cancel()
	}()
	return Serve(ctx, listener, Handler(r, token))
}

// handshake is the line by which the run finds the program.
type handshake struct {
	Protocol int    `json:"flowgrpo_reward"`
	Address  string `json:"address"`
}

// Serve serves h on the listener until ctx is done, and closes it.
func Serve(ctx context.Context, listener net.Listener, h http.Handler) error {
	server := &http.Server{Handler: h}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	if err := server.Shutdown(last); err != nil {
		_ = server.Close() // it had its moment
	}
	return nil
}
