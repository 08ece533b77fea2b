package plugin

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
)

// The messages of the protocol in JSON.

type infoRequest struct {
	MinProtocol int             `json:"min_protocol"`
	MaxProtocol int             `json:"max_protocol"`
	Params      json.RawMessage `json:"params"`
}

type infoResponse struct {
	Protocol        int     `json:"protocol"`
	Name            string  `json:"name,omitempty"`
	Version         string  `json:"version,omitempty"`
	Loading         bool    `json:"loading,omitempty"`
	Message         string  `json:"message,omitempty"`
	Image           string  `json:"image,omitempty"`
	WantsReference  bool    `json:"wants_reference,omitempty"`
	WantsReading    bool    `json:"wants_reading,omitempty"`
	WantsDetections bool    `json:"wants_detections,omitempty"`
	MaxBatch        int     `json:"max_batch,omitempty"`
	MaxConcurrency  int     `json:"max_concurrency,omitempty"`
	Groupwise       bool    `json:"groupwise,omitempty"`
	EvaluationOnly  bool    `json:"evaluation_only,omitempty"`
	Deterministic   bool    `json:"deterministic,omitempty"`
	MinScore        float64 `json:"min_score,omitempty"`
	MaxScore        float64 `json:"max_score,omitempty"`
}

type scoreRequest struct {
	ID      uint32          `json:"id"`
	Samples []sampleMessage `json:"samples"`
}

type sampleMessage struct {
	ID         uint32        `json:"id"`
	Group      uint32        `json:"group"`
	Prompt     string        `json:"prompt"`
	Category   string        `json:"category"`
	Metadata   string        `json:"metadata_json"`
	Image      *imageMessage `json:"image"`
	Reference  *imageMessage `json:"reference"`
	Reading    string        `json:"reading"`
	Detections []Detection   `json:"detections"`
}

type imageMessage struct {
	PNG     []byte  `json:"png"`
	Float32 *tensor `json:"float32"`
}

type tensor struct {
	Channels int    `json:"channels"`
	Height   int    `json:"height"`
	Width    int    `json:"width"`
	Data     []byte `json:"data"`
}

type scoreResponse struct {
	ID      uint32          `json:"id"`
	Results []resultMessage `json:"results"`
}

type resultMessage struct {
	ID      uint32             `json:"id"`
	Score   *float64           `json:"score,omitempty"`
	Parts   map[string]float64 `json:"parts,omitempty"`
	Failure *failureMessage    `json:"failure,omitempty"`
}

type failureMessage struct {
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

func (m sampleMessage) sample() (Sample, error) {
	s := Sample{ID: m.ID, Group: m.Group, Prompt: m.Prompt, Category: m.Category, Reading: m.Reading, Detections: m.Detections}
	if m.Metadata != "" {
		s.Metadata = json.RawMessage(m.Metadata)
	}
	var err error
	if s.Image, err = m.Image.picture(); err != nil {
		return s, fmt.Errorf("image: %w", err)
	}
	if s.Reference, err = m.Reference.picture(); err != nil {
		return s, fmt.Errorf("reference: %w", err)
	}
	return s, nil
}

// picture returns the zero Image for no message.
func (m *imageMessage) picture() (Image, error) {
	if m == nil {
		return Image{}, nil
	}
	t := m.Float32
	if t == nil {
		return Image{PNG: m.PNG}, nil
	}
	if t.Channels < 1 || t.Height < 1 || t.Width < 1 || len(t.Data)%4 != 0 || len(t.Data)/4/t.Channels/t.Height != t.Width ||
		len(t.Data)/4%(t.Channels*t.Height) != 0 {
		return Image{}, fmt.Errorf("%d bytes for float32 numbers of %d×%d×%d", len(t.Data), t.Channels, t.Height, t.Width)
	}
	im := Image{C: t.Channels, H: t.Height, W: t.Width, Pix: make([]float32, len(t.Data)/4)}
	for i := range im.Pix {
		im.Pix[i] = math.Float32frombits(binary.LittleEndian.Uint32(t.Data[4*i:]))
	}
	return im, nil
}

// message returns r as the answer for sample id. What JSON cannot say is a failure.
func (r Result) message(id uint32) resultMessage {
	m := resultMessage{ID: id, Parts: r.Parts}
	err := r.Err
	if err == nil {
		err = checkNumber("score", r.Score)
	}
	for name, v := range r.Parts {
		if err == nil {
			err = checkNumber("part "+name, v)
		}
	}
	if err != nil {
		f := failureOf(err)
		m.Parts, m.Failure = nil, &failureMessage{f.Reason, f.Message}
		return m
	}
	m.Score = &r.Score
	return m
}

func checkNumber(what string, v float64) error {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return &Failure{"bad score", fmt.Sprintf("%s is %v", what, v)}
	}
	return nil
}

func (i Info) message() infoResponse {
	return infoResponse{
		Protocol: protocol, Name: i.Name, Version: i.Version, Image: i.Image,
		WantsReference: i.WantsReference, WantsReading: i.WantsReading, WantsDetections: i.WantsDetections,
		MaxBatch: i.MaxBatch, MaxConcurrency: i.MaxConcurrency, Groupwise: i.Groupwise, EvaluationOnly: i.EvaluationOnly,
		Deterministic: i.Deterministic, MinScore: i.MinScore, MaxScore: i.MaxScore,
	}
}
