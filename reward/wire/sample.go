package wire

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"

	"flowgrpo/reward"
	"flowgrpo/reward/rewardpb"
	"flowgrpo/task"
)

// An Encoder makes messages of samples, with what a reward wants of them.
type Encoder struct {
	Info *rewardpb.InfoResponse
	Deps reward.Deps
}

// Check returns an error if the reward wants what Deps lacks, or a format of pictures
// that there is not.
func (e Encoder) Check() error {
	if f := e.Info.Image; f != "" && f != PNG && f != Float32 && f != None {
		return fmt.Errorf("wants pictures as %q, and there are %q, %q and %q", f, PNG, Float32, None)
	}
	for _, want := range []struct {
		what         string
		wanted, have bool
	}{
		{"reference pictures", e.Info.WantsReference, e.Deps.References != nil},
		{"readings", e.Info.WantsReading, e.Deps.Reader != nil},
		{"detections", e.Info.WantsDetections, e.Deps.Detector != nil},
	} {
		if want.wanted && !want.have {
			return &reward.LackError{What: "wants " + want.what}
		}
	}
	return nil
}

// Sample returns s as the message with that id. The error is a *[reward.Failure]
// without an address: a picture that is none, a text that is not UTF-8, metadata that
// is not a JSON object, a reference that is missing.
func (e Encoder) Sample(id uint32, s reward.Sample) (*rewardpb.Sample, error) {
	if err := reward.CheckImage(s.Image); err != nil {
		return nil, err
	}
	m := &rewardpb.Sample{Id: id, Group: uint32(s.Group), Prompt: s.Prompt.Text, Category: s.Prompt.Category}
	if !utf8.ValidString(m.Prompt) || !utf8.ValidString(m.Category) {
		return nil, fail(reward.BadPrompt, "the text is not valid UTF-8")
	}
	var err error
	if m.MetadataJson, err = metadata(s.Prompt.Metadata); err != nil {
		return nil, err
	}
	if m.Image, err = Image(s.Image, e.Info.Image); err != nil {
		return nil, fail(reward.BadImage, "%w", err)
	}
	if e.Info.WantsReference {
		if m.Reference, err = e.reference(s.Prompt); err != nil {
			return nil, err
		}
	}
	if e.Info.WantsReading {
		reading := strings.ToValidUTF8(e.Deps.Reader.Read(s.Image), "\ufffd")
		m.Reading = &reading
	}
	if e.Info.WantsDetections {
		m.Detections, err = detections(e.Deps.Detector.Detect(s.Image))
	}
	return m, err
}

func metadata(raw json.RawMessage) (string, error) {
	if len(raw) == 0 {
		return "", nil
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(raw, &object); err != nil {
		return "", fail(reward.BadPrompt, "metadata: %w", err)
	}
	if object == nil { // null
		return "", nil
	}
	return string(raw), nil
}

func (e Encoder) reference(p task.Prompt) (*rewardpb.Image, error) {
	im, err := e.Deps.References(p)
	if err != nil {
		return nil, fail(reward.BadPrompt, "reference: %w", err)
	}
	out, err := Image(im, e.Info.Image)
	if err != nil {
		return nil, fail(reward.BadPrompt, "reference: %w", err)
	}
	return out, nil
}

func detections(found []task.Detection) (out []*rewardpb.Detection, err error) {
	for i, d := range found {
		for _, v := range append(d.Box[:], d.Score) {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return nil, fail(reward.BadDetection, "detection %d: box %v, score %v", i, d.Box, d.Score)
			}
		}
		out = append(out, &rewardpb.Detection{Class: d.Class, Color: d.Color, Box: d.Box[:], Score: d.Score})
	}
	return out, nil
}

// fail returns a Failure that still lacks its address.
func fail(reason reward.Reason, format string, args ...any) *reward.Failure {
	return &reward.Failure{Reason: reason, Err: fmt.Errorf(format, args...)}
}
