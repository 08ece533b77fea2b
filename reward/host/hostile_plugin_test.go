package host

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// hostile are the programs that misbehave. Those that get to it greet and answer Info
// as they should, and misbehave in Score.
var hostile = map[string]func(args []string){
	"no start line":   func([]string) { sleep() },
	"wrong version":   func([]string) { greet(`{"flowgrpo_reward":3,"address":"127.0.0.1:1"}`); sleep() },
	"garbage first":   func([]string) { greet("Loading model..."); serve(nil) },
	"endless line":    func([]string) { flood(os.Stdout, "y") },
	"binary noise":    func([]string) { flood(os.Stdout, "\x00\xff\n\x1b[2J\x80") },
	"foreign address": func([]string) { greet(`{"flowgrpo_reward":1,"address":"192.0.2.1:80"}`); sleep() },
	"closes stdout":   func([]string) { _ = os.Stdout.Close(); sleep() },
	"exits 0":         func([]string) { fmt.Fprintln(os.Stderr, "nothing to do"); os.Exit(0) },
	"hangs in Info": func([]string) {
		listenAndServe(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { sleep() }))
	},
	"loads for ever": func([]string) { answerInfo(`{"protocol":1,"loading":true,"message":"40 %"}`) },
	"speaks 3":       func([]string) { answerInfo(`{"protocol":3}`) },
	"wants too much": func([]string) { answerInfo(`{"protocol":1,"wants_reading":true}`) },
	"mad bounds":     func([]string) { answerInfo(`{"protocol":1,"min_score":1,"max_score":-1}`) },

	"stderr flood": func([]string) {
		go flood(os.Stderr, strings.Repeat("flood ", 1000))
		serve(func(w http.ResponseWriter, r request) { time.Sleep(50 * time.Millisecond); r.answer(w, r.fine()...) })
	},
	"exits 1": func([]string) { serve(func(http.ResponseWriter, request) { complain(); os.Exit(1) }) },
	"SIGSEGV": func([]string) { serve(func(http.ResponseWriter, request) { complain(); kill("SEGV") }) },
	"hangs":   func([]string) { serve(func(http.ResponseWriter, request) { complain(); sleep() }) },
	"too late": func([]string) {
		serve(func(w http.ResponseWriter, r request) { time.Sleep(1500 * time.Millisecond); r.answer(w, r.fine()...) })
	},
	"answers twice": func([]string) {
		serve(func(w http.ResponseWriter, r request) { r.answer(w, append(r.fine(), r.fine()...)...) })
	},
	"two for one": func([]string) {
		serve(func(w http.ResponseWriter, r request) { f := r.fine(); f[1] = f[0]; r.answer(w, f...) })
	},
	"second answer": func([]string) { serve(func(w http.ResponseWriter, r request) { r.hijack(w, 2) }) },
	"unknown id": func([]string) {
		serve(func(w http.ResponseWriter, r request) {
			r.answer(w, append(r.fine()[1:], `{"id":4294967295,"score":1}`)...)
		})
	},
	"too few": func([]string) { serve(func(w http.ResponseWriter, r request) { r.answer(w, r.fine()[:1]...) }) },
	"too many": func([]string) {
		serve(func(w http.ResponseWriter, r request) { r.answer(w, append(r.fine(), `{"id":0,"score":1}`)...) })
	},
	"NaN": func([]string) { serve(func(w http.ResponseWriter, r request) { r.answer(w, r.spoilt("NaN")...) }) },
	"Inf": func([]string) {
		serve(func(w http.ResponseWriter, r request) { r.answer(w, r.spoilt("-Infinity")...) })
	},
	"null":   func([]string) { serve(func(w http.ResponseWriter, r request) { r.answer(w, r.spoilt("null")...) }) },
	"string": func([]string) { serve(func(w http.ResponseWriter, r request) { r.answer(w, r.spoilt(`"0.5"`)...) }) },
	"1e300":  func([]string) { serve(func(w http.ResponseWriter, r request) { r.answer(w, r.spoilt("1e300")...) }) },
	"deep": func([]string) {
		serve(func(w http.ResponseWriter, r request) { raw(w, `{"id":1,"results":`+strings.Repeat("[", 1e6)) })
	},
	"noise": func([]string) { serve(func(w http.ResponseWriter, r request) { raw(w, "\x00\xff\x1b[2J\x80") }) },
	"html": func([]string) {
		serve(func(w http.ResponseWriter, r request) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(w, "<html>")
		})
	},
	"endless reply": func([]string) {
		serve(func(w http.ResponseWriter, r request) {
			w.Header().Set("Content-Type", "application/json")
			flood(w, strings.Repeat(" ", 1<<20))
		})
	},
	"endless header": func([]string) { serve(func(w http.ResponseWriter, r request) { r.hijack(w, -1) }) },
	"bomb": func([]string) {
		serve(func(w http.ResponseWriter, r request) {
			w.Header().Set("Content-Encoding", "gzip")
			raw(w, "\x1f\x8b\b\x00")
		})
	},
	"redirects": func([]string) {
		serve(func(w http.ResponseWriter, r request) {
			w.Header().Set("Location", "http://127.0.0.1:1/")
			w.WriteHeader(http.StatusTemporaryRedirect)
		})
	},
	"forks": func(args []string) {
		serve(func(http.ResponseWriter, request) {
			child := exec.Command(os.Args[0], "plugin", "no start line", args[0]) // of the same group
			if err := child.Start(); err != nil {
				panic(err)
			}
			os.Exit(1)
		})
	},
	"eats": func([]string) {
		signal.Ignore(syscall.SIGTERM)
		serve(func(http.ResponseWriter, request) {
			var eaten [][]byte
			for range 1024 {
				block := make([]byte, 1<<20)
				for i := range block {
					block[i] = 1
				}
				eaten = append(eaten, block)
			}
			sleep()
			fmt.Fprint(io.Discard, len(eaten))
		})
	},
	"deaf": func([]string) { // no misbehaviour until it is to stop
		signal.Ignore(syscall.SIGTERM)
		serve(func(w http.ResponseWriter, r request) { r.answer(w, r.fine()...) })
	},
	"shuffles": func([]string) {
		serve(func(w http.ResponseWriter, r request) {
			f := r.fine()
			rand.Shuffle(len(f), func(i, j int) { f[i], f[j] = f[j], f[i] })
			time.Sleep(time.Duration(rand.IntN(3)) * time.Millisecond)
			r.answer(w, f...)
		})
	},
	"one call only": func([]string) { // dies in the second
		var calls atomic.Int64
		serve(func(w http.ResponseWriter, r request) {
			if calls.Add(1) > 1 {
				kill("KILL")
			}
			r.answer(w, r.fine()...)
		})
	},
	"sleepy": func([]string) { // hangs in the first call only
		var calls atomic.Int64
		serve(func(w http.ResponseWriter, r request) {
			if calls.Add(1) == 1 {
				sleep()
			}
			r.answer(w, r.fine()...)
		})
	},
	"leaves": func([]string) { // soon after its answer
		serve(func(w http.ResponseWriter, r request) {
			time.AfterFunc(200*time.Millisecond, func() { os.Exit(0) })
			r.answer(w, r.fine()...)
		})
	},
	"dies once": func(args []string) { // with several calls in flight: args[1] is a file that says so
		var calls atomic.Int64
		serveInfo(`{"protocol":1,"max_concurrency":4,"max_batch":1}`, func(w http.ResponseWriter, r request) {
			if _, err := os.Stat(args[1]); err == nil {
				r.answer(w, r.fine()...)
				return
			}
			if calls.Add(1) < 4 {
				sleep()
			}
			if err := os.WriteFile(args[1], nil, 0o600); err != nil {
				panic(err)
			}
			kill("KILL")
		})
	},
	"starts once": func(args []string) { // and never again: args[1] is a file that says so
		if _, err := os.Stat(args[1]); err == nil {
			fmt.Fprintln(os.Stderr, "not again")
			os.Exit(3)
		}
		if err := os.WriteFile(args[1], nil, 0o600); err != nil {
			panic(err)
		}
		serve(func(http.ResponseWriter, request) { os.Exit(1) })
	},
	"changes": func(args []string) { // what it says of itself: args[1] is a file that says so
		info := `{"protocol":1,"version":"2"}`
		if _, err := os.Stat(args[1]); err != nil {
			info = `{"protocol":1,"version":"1"}`
			if err := os.WriteFile(args[1], nil, 0o600); err != nil {
				panic(err)
			}
		}
		serveInfo(info, func(http.ResponseWriter, request) { os.Exit(1) })
	},
}

// A request is what Score is asked.
type request struct {
	ID      uint32
	Samples []struct {
		ID     uint32
		Prompt string
	}
}

// fine returns the right results: 0, 1, 2, … for the prompts "prompt 0", "prompt 1", ….
func (r request) fine() (out []string) {
	for _, s := range r.Samples {
		out = append(out, fmt.Sprintf(`{"id":%d,"score":%s}`, s.ID, strings.TrimPrefix(s.Prompt, "prompt ")))
	}
	return out
}

// spoilt returns the right results, but for the score of the second sample.
func (r request) spoilt(score string) []string {
	f := r.fine()
	f[1] = fmt.Sprintf(`{"id":%d,"score":%s}`, r.Samples[1].ID, score)
	return f
}

func (r request) answer(w http.ResponseWriter, results ...string) {
	raw(w, fmt.Sprintf(`{"id":%d,"results":[%s]}`, r.ID, strings.Join(results, ",")))
}

// hijack writes n whole HTTP responses at once, or a header without end if n is -1.
func (r request) hijack(w http.ResponseWriter, n int) {
	c, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	if n < 0 {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n")
		flood(c, "X-Flood: "+strings.Repeat("y", 1000)+"\r\n")
		return
	}
	body := fmt.Sprintf(`{"id":%d,"results":[%s]}`, r.ID, strings.Join(r.fine(), ","))
	_, _ = io.WriteString(c, strings.Repeat(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body), n))
}

func raw(w http.ResponseWriter, body string) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, body)
}

func serve(score func(http.ResponseWriter, request)) { serveInfo(`{"protocol":1}`, score) }

func answerInfo(info string) { serveInfo(info, nil) }

func serveInfo(info string, score func(http.ResponseWriter, request)) {
	mux := http.NewServeMux()
	mux.HandleFunc(service+"Info", func(w http.ResponseWriter, _ *http.Request) { raw(w, info) })
	mux.HandleFunc(service+"Score", func(w http.ResponseWriter, r *http.Request) {
		var in request
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			panic(err)
		}
		score(w, in)
	})
	listenAndServe(mux)
}

func listenAndServe(h http.Handler) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	greet(fmt.Sprintf(`{"flowgrpo_reward":1,"address":%q}`, l.Addr()))
	panic(http.Serve(l, h))
}

func greet(line string) { fmt.Println(line) }

func complain() { fmt.Fprintln(os.Stderr, "\x1b[31mlast words") }

// sleep is no deadlock for the runtime to find.
func sleep() { time.Sleep(time.Hour) }

// flood writes text again and again, as long as somebody takes it.
func flood(w io.Writer, text string) {
	for {
		if _, err := io.WriteString(w, text); err != nil {
			sleep()
		}
	}
}

// kill makes this process end by a signal: Go's runtime would make a panic of some, so
// a shell takes its place.
func kill(signal string) {
	panic(syscall.Exec("/bin/sh", []string{"sh", "-c", "kill -" + signal + " $$"}, os.Environ()))
}
