// Command geneval scores pictures by the rules of GenEval on what any detector finds in
// them, behind an address that takes a PNG file and answers with a list of
//
//	{"class": "dog", "color": "brown", "box": [x0, y0, x1, y1], "score": 0.97}
//
// boxes in pixels. Prompts bring the official metadata (tag, include, exclude).
//
//	[reward.geneval]
//	kind = "exec"
//	command = ["./geneval"]
//	params = { detector = "http://127.0.0.1:9000/detect" }
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"flowgrpo/reward"
	"flowgrpo/reward/plugin"
	"flowgrpo/task"
)

func main() { plugin.Main(&geneval{}) }

// official are the thresholds of the benchmark, for the confidences of its detector.
var official = reward.GenEvalRules{MinScore: 0.3, MinScoreCounting: 0.9, LastFirst: true}

// geneval judges by what the service at address detects.
type geneval struct{ address string }

// Load implements plugin.Loader.
func (g *geneval) Load(params json.RawMessage) error {
	var p struct {
		Detector string `json:"detector"`
	}
	if err := json.Unmarshal(params, &p); err != nil {
		return err
	}
	if p.Detector == "" {
		return errors.New(`say where the detector is: params = { detector = "http://…" }`)
	}
	g.address = p.Detector
	return nil
}

// Info implements plugin.Reward.
func (*geneval) Info() plugin.Info {
	return plugin.Info{Name: "geneval", Version: "1", MaxScore: 1}
}

// Score implements plugin.Reward.
func (g *geneval) Score(ctx context.Context, batch []plugin.Sample) ([]plugin.Result, error) {
	return plugin.Each(ctx, batch, func(s plugin.Sample) plugin.Result { return g.score(ctx, s) }), nil
}

func (g *geneval) score(ctx context.Context, s plugin.Sample) plugin.Result {
	objects, err := g.detect(ctx, s.Image.PNG)
	if err != nil {
		return plugin.Fail("no detections", "%v", err)
	}
	sample := reward.Sample{
		Prompt: task.Prompt{Text: s.Prompt, Metadata: s.Metadata},
		Image:  task.NewImage(3, 1, 1), // the rules look at the detections alone
	}
	results, err := reward.NewGenEval("geneval", detected(objects), official).Score(ctx, []reward.Sample{sample})
	if err != nil {
		return plugin.Fail("interrupted", "%v", err)
	}
	return plugin.Result{Score: results[0].Score, Parts: results[0].Parts, Err: results[0].Err}
}

// detected is a task.Detector that has already looked.
type detected []task.Detection

// Detect implements task.Detector.
func (d detected) Detect(task.Image) []task.Detection { return d }

// detect asks the service what is in a picture.
func (g *geneval) detect(ctx context.Context, png []byte) ([]task.Detection, error) {
	const limit = 1 << 20 // bytes of an answer
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, g.address, bytes.NewReader(png))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "image/png")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close() // read only
	body, err := io.ReadAll(io.LimitReader(response.Body, limit))
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("HTTP %s: %.200s", response.Status, body)
	}
	var objects []plugin.Detection
	if err := json.Unmarshal(body, &objects); err != nil {
		return nil, err
	}
	out := make([]task.Detection, len(objects))
	for i, o := range objects {
		out[i] = task.Detection(o)
	}
	return out, nil
}
