package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image/png"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"flowgrpo/reward"
	"flowgrpo/reward/rewardpb"
	"flowgrpo/task"
)

// noise returns a picture of random numbers in [-1.1, 1.1].
func noise(c, h, w int) task.Image {
	r := rand.New(rand.NewPCG(1, 2))
	im := task.NewImage(c, h, w)
	for i := range im.Pix {
		im.Pix[i] = 2.2*r.Float32() - 1.1
	}
	return im
}

// A decoded PNG shows what NRGBA shows, in grey as in colour.
func TestPNGIsLossless(t *testing.T) {
	t.Parallel()
	for _, c := range []int{1, 3} {
		im := noise(c, 13, 17)
		m, err := Image(im, PNG)
		if err != nil {
			t.Fatal(err)
		}
		got, err := png.Decode(bytes.NewReader(m.GetPng()))
		if err != nil {
			t.Fatal(err)
		}
		want := im.NRGBA()
		for y := range 13 {
			for x := range 17 {
				r, g, b, a := got.At(x, y).RGBA()
				wr, wg, wb, wa := want.At(x, y).RGBA()
				if r != wr || g != wg || b != wb || a != wa {
					t.Fatalf("%d channels, pixel %d, %d: %v, want %v", c, x, y, got.At(x, y), want.At(x, y))
				}
			}
		}
	}
}

func TestFloat32IsLossless(t *testing.T) {
	t.Parallel()
	im := noise(3, 2, 5)
	im.Pix[0], im.Pix[1], im.Pix[2] = float32(math.Copysign(0, -1)), math.SmallestNonzeroFloat32, math.MaxFloat32
	m, err := Image(im, Float32)
	if err != nil {
		t.Fatal(err)
	}
	f := m.GetFloat32()
	if f.Channels != 3 || f.Height != 2 || f.Width != 5 || len(f.Data) != 4*len(im.Pix) {
		t.Fatalf("%d bytes of %d×%d×%d", len(f.Data), f.Channels, f.Height, f.Width)
	}
	for i, v := range im.Pix {
		if got := binary.LittleEndian.Uint32(f.Data[4*i:]); got != math.Float32bits(v) {
			t.Errorf("value %d: bits %x, want those of %g", i, got, v)
		}
	}
}

// lender lends everything that a reward may want.
type lender struct{ box float64 }

func (lender) Read(task.Image) string { return "R\xff" }

func (l lender) Detect(task.Image) []task.Detection {
	return []task.Detection{{Class: "circle", Color: "red", Box: [4]float64{0, 1, 2, l.box}, Score: .5}}
}

func references(p task.Prompt) (task.Image, error) {
	if p.ID == 0 {
		return task.Image{}, errors.New("there is none")
	}
	return noise(1, 2, 2), nil
}

var wantsAll = &rewardpb.InfoResponse{Image: Float32, WantsReference: true, WantsReading: true, WantsDetections: true}

// The JSON of a sample is what docs/rewards.md shows: the names of the schema, and
// nothing left out.
func TestSampleJSON(t *testing.T) {
	t.Parallel()
	deps := reward.Deps{Reader: lender{}, Detector: lender{3}, References: references}
	s := reward.Sample{Group: 4, Image: task.NewImage(1, 1, 1), Prompt: task.Prompt{ID: 1, Text: "a <b>", Category: "c", Metadata: []byte(`{"k": [1]}`)}}
	m, err := Encoder{wantsAll, deps}.Sample(9, s)
	if err != nil {
		t.Fatal(err)
	}
	m.Reference = m.Image // which is shorter than noise
	const want = `{"id":9,"group":4,"prompt":"a <b>","category":"c","metadata_json":"{\"k\": [1]}",
		"image":{"float32":{"channels":1,"height":1,"width":1,"data":"AACAvw=="}},
		"reference":{"float32":{"channels":1,"height":1,"width":1,"data":"AACAvw=="}},
		"reading":"R\ufffd","detections":[{"class":"circle","color":"red","box":[0,1,2,3],"score":0.5}]}`
	wanted := new(rewardpb.Sample)
	if err := protojson.Unmarshal([]byte(want), wanted); err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(m, wanted) {
		t.Errorf("%v, want %v", m, wanted)
	}
	text, err := jsonCodec{}.Marshal(&rewardpb.ScoreRequest{Samples: []*rewardpb.Sample{{MetadataJson: "{}"}}})
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.NewReplacer(" ", "", "\n", "").Replace(string(text)); got != `{"id":0,"samples":[{"id":0,"group":0,"prompt":"","category":"","metadata_json":"{}","detections":[]}]}` {
		t.Errorf("JSON %s", got)
	}
}

func TestSampleFails(t *testing.T) {
	t.Parallel()
	deps := reward.Deps{Reader: lender{}, Detector: lender{3}, References: references}
	broken := reward.Deps{Reader: lender{}, Detector: lender{math.Inf(1)}, References: references}
	for _, c := range []struct {
		name   string
		spoil  func(s *reward.Sample)
		deps   reward.Deps
		reason reward.Reason
		text   string
	}{
		{"short", func(s *reward.Sample) { s.Image.Pix = s.Image.Pix[1:] }, deps, reward.BadImage, "0 values"},
		{"NaN", func(s *reward.Sample) { s.Image.Pix[0] = float32(math.NaN()) }, deps, reward.BadImage, "value 0 is NaN"},
		{"text", func(s *reward.Sample) { s.Prompt.Text = "a\xff" }, deps, reward.BadPrompt, "not valid UTF-8"},
		{"metadata", func(s *reward.Sample) { s.Prompt.Metadata = []byte(`{"a`) }, deps, reward.BadPrompt, "metadata: unexpected end"},
		{"list", func(s *reward.Sample) { s.Prompt.Metadata = []byte(`[1]`) }, deps, reward.BadPrompt, "metadata: json: cannot unmarshal array"},
		{"reference", func(s *reward.Sample) { s.Prompt.ID = 0 }, deps, reward.BadPrompt, "reference: there is none"},
		{"detection", func(*reward.Sample) {}, broken, reward.BadDetection, "detection 0: box [0 1 2 +Inf]"},
	} {
		s := reward.Sample{Image: task.NewImage(1, 1, 1), Prompt: task.Prompt{ID: 1}}
		c.spoil(&s)
		_, err := Encoder{wantsAll, c.deps}.Sample(1, s)
		check(t, c.name, err, c.reason, c.text)
	}
	if m, err := (Encoder{&rewardpb.InfoResponse{Image: None}, reward.Deps{}}).Sample(1, reward.Sample{Image: noise(3, 2, 2), Prompt: task.Prompt{Metadata: []byte("null")}}); err != nil || m.Image != nil || m.MetadataJson != "" || m.Reading != nil {
		t.Errorf("a reward that wants nothing gets %v, %v", m, err)
	}
}

func TestEncoderCheck(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		info *rewardpb.InfoResponse
		want string
	}{
		{&rewardpb.InfoResponse{Image: "jpeg"}, `wants pictures as "jpeg"`},
		{&rewardpb.InfoResponse{WantsReference: true}, "wants reference pictures, which this task does not have"},
		{&rewardpb.InfoResponse{WantsReading: true}, "wants readings"},
		{&rewardpb.InfoResponse{WantsDetections: true}, "wants detections"},
	} {
		if err := (Encoder{c.info, reward.Deps{}}).Check(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: error %v, want %s", c.info, err, c.want)
		}
	}
	if err := (Encoder{wantsAll, reward.Deps{Reader: lender{}, Detector: lender{}, References: references}}).Check(); err != nil {
		t.Error(err)
	}
}

func TestNewCodec(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"json", "proto"} {
		c, err := NewCodec(name)
		if err != nil || c.Name() != name {
			t.Fatalf("%s: %v, %v", name, c, err)
		}
		body, err := c.Marshal(&rewardpb.InfoResponse{Protocol: 1, Version: "v"})
		if err != nil {
			t.Fatal(err)
		}
		if m, err := c.Info(body); err != nil || m.Protocol != 1 || m.Version != "v" {
			t.Errorf("%s: Info %v, %v", name, m, err)
		}
	}
	if _, err := NewCodec("xml"); err == nil {
		t.Error("xml is no codec")
	}
	if _, err := (jsonCodec{}).Info([]byte(strings.Repeat("[", 1e6))); err == nil || !strings.Contains(err.Error(), "nested deeper") {
		t.Errorf("deep Info: %v", err)
	}
}

func TestText(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ got, want string }{
		{Printable("", 9), ""},
		{Printable(" a \r\n b\tc \n", 99), "a \n b\tc"},
		{Printable("\x1b[2J\u202eü\xff", 99), "\ufffd[2J\ufffdü\ufffd"},
		{Printable("aüüüü", 7), "üüü"}, // the end, and no half of a character
		{Line("aüüüü", 6), "aüü"},      // the beginning
		{Line(" a\n\tb  c\x00", 99), "a b c\ufffd"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
}
