package tensorboard

import (
	"bytes"
	"encoding/hex"
	"errors"
	"image"
	"image/color"
	"image/png"
	"strings"
	"testing"
	"time"
)

func fixedClock() time.Time { return time.Unix(1700000000, 500000000) }

// TestGolden freezes the bytes of a small file. The layout was derived by hand
// from the format in the package documentation; readers elsewhere depend on it.
func TestGolden(t *testing.T) {
	var out bytes.Buffer
	w, err := NewWriter(&out, fixedClock)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Scalars(3, []Scalar{{"reward/mean", 0.5}}); err != nil {
		t.Fatal(err)
	}
	const version = "1800000000000000" + "%CRC1%" +
		"09" + "00002040fc54d941" + // 1: double 1700000000.5
		"1a0d" + "627261696e2e4576656e743a32" + "%CRC2%" // 3: "brain.Event:2"
	const scalar = "2100000000000000" + "%CRC3%" +
		"09" + "00002040fc54d941" +
		"1003" + // 2: step 3
		"2a14" + "0a12" + // 5: summary, 1: value
		"0a0b" + "7265776172642f6d65616e" + // 1: "reward/mean"
		"15" + "0000003f" + "%CRC4%" // 2: float 0.5
	want := version + scalar
	got := hex.EncodeToString(out.Bytes())
	for _, crc := range []string{"%CRC1%", "%CRC2%", "%CRC3%", "%CRC4%"} {
		at := strings.Index(want, crc)
		want = want[:at] + got[at:at+8] + want[at+len(crc):] // the reader checks them
	}
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if _, err := readEvents(&out); err != nil {
		t.Errorf("reading back: %v", err)
	}
}

// TestMaskedCRC uses the check value of CRC-32C: "123456789" gives 0xe3069283.
func TestMaskedCRC(t *testing.T) {
	crc := uint32(0xe3069283)
	want := (crc>>15 | crc<<17) + 0xa282ead8
	if got := maskedCRC([]byte("123456789")); got != want {
		t.Errorf("maskedCRC = %#x, want %#x", got, want)
	}
	if got := slowMaskedCRC([]byte("123456789")); got != want {
		t.Errorf("the test's own CRC is %#x, want %#x", got, want)
	}
}

func TestRoundTrip(t *testing.T) {
	var out bytes.Buffer
	w, err := NewWriter(&out, fixedClock)
	if err != nil {
		t.Fatal(err)
	}
	img := image.NewNRGBA(image.Rect(0, 0, 48, 16))
	img.SetNRGBA(7, 3, color.NRGBA{10, 200, 30, 255})
	if err := errors.Join(
		w.Scalars(1, []Scalar{{"a", 1.5}, {"b/ü", -2}}),
		w.Image(1<<40, "grid", img),
	); err != nil {
		t.Fatal(err)
	}
	events, err := readEvents(&out)
	if err != nil || len(events) != 3 {
		t.Fatalf("read %d events, error %v", len(events), err)
	}
	if events[0].version != "brain.Event:2" || events[0].wall != 1700000000.5 {
		t.Errorf("first event is %+v", events[0])
	}
	if e := events[1]; e.step != 1 || e.scalars["a"] != 1.5 || e.scalars["b/ü"] != -2 {
		t.Errorf("scalars read back as %+v", e)
	}
	got := events[2].images["grid"]
	if events[2].step != 1<<40 || got.height != 16 || got.width != 48 || got.space != 4 {
		t.Errorf("picture read back as step %d, %d×%d", events[2].step, got.width, got.height)
	}
	decoded, err := png.Decode(bytes.NewReader(got.coded))
	if err != nil {
		t.Fatal(err)
	}
	if r, g, b, _ := decoded.At(7, 3).RGBA(); r>>8 != 10 || g>>8 != 200 || b>>8 != 30 {
		t.Error("the picture's pixels changed")
	}
}

// TestDamage flips every bit of a file: each must be noticed.
func TestDamage(t *testing.T) {
	var out bytes.Buffer
	w, _ := NewWriter(&out, fixedClock)
	if err := w.Scalars(1, []Scalar{{"a", 1}}); err != nil {
		t.Fatal(err)
	}
	whole := out.Bytes()
	for bit := range 8 * len(whole) {
		bad := bytes.Clone(whole)
		bad[bit/8] ^= 1 << (bit % 8)
		if _, err := readEvents(bytes.NewReader(bad)); err == nil {
			t.Fatalf("bit %d flipped unnoticed", bit)
		}
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestWriteError(t *testing.T) {
	if _, err := NewWriter(fullDisk{}, nil); err == nil || !strings.Contains(err.Error(), "disk full") {
		t.Errorf("error = %v", err)
	}
}

func TestFileName(t *testing.T) {
	if got, want := FileName(fixedClock(), "box"), "events.out.tfevents.1700000000.box"; got != want {
		t.Errorf("FileName = %q, want %q", got, want)
	}
}

func FuzzReadEvents(f *testing.F) {
	var out bytes.Buffer
	if w, err := NewWriter(&out, fixedClock); err == nil {
		_ = w.Scalars(2, []Scalar{{"a", 1}})
	}
	f.Add(out.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		_, _ = readEvents(bytes.NewReader(data)) // must not panic
		_, _ = parseEvent(data)
	})
}
