// Package tensorboard writes TensorBoard event files.
//
// An event file is a sequence of TFRecords, each holding one Event message:
//
//	uint64 length · uint32 masked CRC of the length · payload · uint32 masked CRC of the payload
//
// all little-endian; the CRC is CRC-32C, masked as rotr(crc, 15) + 0xa282ead8. The
// messages are written by hand, since only a handful of fields are used:
//
//	Event   { 1: double wall_time, 2: int64 step, 3: string file_version, 5: Summary summary }
//	Summary { 1: repeated Value }
//	Value   { 1: string tag, 2: float simple_value, 4: Image image }
//	Image   { 1: int32 height, 2: int32 width, 3: int32 colorspace, 4: bytes encoded_image_string }
package tensorboard

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"image"
	"image/png"
	"io"
	"math"
	"strings"
	"time"
)

// A Writer appends events to a file. Each event is one call to the underlying
// Write, so a crash leaves whole events behind. Not safe for concurrent use.
type Writer struct {
	w   io.Writer
	now func() time.Time
	buf []byte
}

// FileName returns the name that TensorBoard looks for: it reads every file with
// "tfevents" in its name and merges the files of a folder. host tells writers on
// several machines apart.
func FileName(start time.Time, host string) string {
	return fmt.Sprintf("%s%010d.%s", filePrefix, start.Unix(), host)
}

// IsEventFile reports whether a file of that name may be one that FileName named.
func IsEventFile(name string) bool { return strings.HasPrefix(name, filePrefix) }

const filePrefix = "events.out.tfevents."

// NewWriter starts an event file on w with the version event that readers expect
// first. now gives the wall time of events; nil means time.Now.
func NewWriter(w io.Writer, now func() time.Time) (*Writer, error) {
	tb := Continue(w, now)
	return tb, tb.event(0, bytesField(nil, 3, []byte("brain.Event:2")))
}

// Continue is NewWriter for an event file that has events already, whole ones.
func Continue(w io.Writer, now func() time.Time) *Writer {
	if now == nil {
		now = time.Now
	}
	return &Writer{w: w, now: now}
}

// A Scalar is a named value. TensorBoard groups tags by what precedes the slash.
type Scalar struct {
	Tag   string
	Value float64 // stored as float32
}

// Scalars writes the values of one step as one event.
func (t *Writer) Scalars(step int64, values []Scalar) error {
	var summary []byte
	for _, v := range values {
		value := bytesField(nil, 1, []byte(v.Tag))
		value = fixed32Field(value, 2, math.Float32bits(float32(v.Value)))
		summary = bytesField(summary, 1, value)
	}
	return t.event(step, bytesField(nil, 5, summary))
}

// Image writes a picture, PNG-coded, as one event.
func (t *Writer) Image(step int64, tag string, img image.Image) error {
	var coded bytes.Buffer
	if err := png.Encode(&coded, img); err != nil {
		return fmt.Errorf("tensorboard: coding %s: %w", tag, err)
	}
	const rgba = 4
	body := varintField(nil, 1, uint64(img.Bounds().Dy()))
	body = varintField(body, 2, uint64(img.Bounds().Dx()))
	body = varintField(body, 3, rgba)
	body = bytesField(body, 4, coded.Bytes())
	value := bytesField(nil, 1, []byte(tag))
	value = bytesField(value, 4, body)
	return t.event(step, bytesField(nil, 5, bytesField(nil, 1, value)))
}

// event writes one Event; what is its third or fifth field.
func (t *Writer) event(step int64, what []byte) error {
	now := t.now()
	wall := float64(now.Unix()) + float64(now.Nanosecond())/1e9
	payload := fixed64Field(nil, 1, math.Float64bits(wall))
	if step != 0 {
		payload = varintField(payload, 2, uint64(step))
	}
	payload = append(payload, what...)
	t.buf = appendRecord(t.buf[:0], payload)
	if _, err := t.w.Write(t.buf); err != nil {
		return fmt.Errorf("tensorboard: %w", err)
	}
	return nil
}

// appendRecord appends payload as a TFRecord.
func appendRecord(b, payload []byte) []byte {
	at := len(b)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(payload)))
	b = binary.LittleEndian.AppendUint32(b, maskedCRC(b[at:]))
	b = append(b, payload...)
	return binary.LittleEndian.AppendUint32(b, maskedCRC(payload))
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// maskedCRC is CRC-32C, masked so that the CRC of data that holds CRCs is safe.
func maskedCRC(b []byte) uint32 {
	crc := crc32.Checksum(b, castagnoli)
	return (crc>>15 | crc<<17) + 0xa282ead8
}

// The fields of a protocol buffer: a key of number and wire type, then the value.
func varintField(b []byte, number int, v uint64) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(b, uint64(number)<<3), v)
}

func fixed64Field(b []byte, number int, v uint64) []byte {
	return binary.LittleEndian.AppendUint64(binary.AppendUvarint(b, uint64(number)<<3|1), v)
}

func bytesField(b []byte, number int, v []byte) []byte {
	b = binary.AppendUvarint(b, uint64(number)<<3|2)
	return append(binary.AppendUvarint(b, uint64(len(v))), v...)
}

func fixed32Field(b []byte, number int, v uint32) []byte {
	return binary.LittleEndian.AppendUint32(binary.AppendUvarint(b, uint64(number)<<3|5), v)
}
