package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
)

// misbehave is a program that is a reward, but for what its argument says.
func misbehave() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	how := os.Args[1]
	switch how {
	case "talk":
		fmt.Println("Loading model...")
	case "escape":
		fmt.Println("\x1b[2J\x1b]0;pwned\a")
	}
	version := map[bool]int{true: 3, false: 1}[how == "protocol"]
	fmt.Printf(`{"flowgrpo_reward":%d,"address":%q}`+"\n", version, listener.Addr())
	go func() { // as long as the run
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	_ = http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { answer(w, r, how) }))
}

// answer answers a call as how says.
func answer(w http.ResponseWriter, r *http.Request, how string) {
	w.Header().Set("Content-Type", "application/json")
	if strings.HasSuffix(r.URL.Path, "/Info") {
		fmt.Fprint(w, `{"protocol":1,"image":"none"}`)
		return
	}
	var request struct {
		ID      uint32 `json:"id"`
		Samples []struct {
			ID uint32 `json:"id"`
		} `json:"samples"`
	}
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = json.Unmarshal(body, &request)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var results []string
	for _, s := range request.Samples {
		results = append(results, fmt.Sprintf(`{"id":%d,"score":%s}`, s.ID, badScore(how)))
	}
	switch how {
	case "few":
		results = results[:1]
	case "hang":
		<-r.Context().Done()
	case "die":
		fmt.Fprintln(os.Stderr, "Segmentation fault\x1b[0m in the detector")
		os.Exit(3)
	}
	fmt.Fprintf(w, `{"id":%d,"results":[%s]}`, request.ID, strings.Join(results, ","))
}

// badScore returns what stands where a score belongs.
func badScore(how string) string {
	if bad, ok := map[string]string{"null": "null", "text": `"0.5"`, "huge": "1e300", "NaN": "NaN"}[how]; ok {
		return bad
	}
	return "0.5"
}
