package tensorboard

import (
	"encoding/binary"
	"errors"
	"io"
	"math"
)

// The reader is a second, independent statement of the format: it walks the
// bytes without the writer's helpers.

type event struct {
	wall    float64
	step    int64
	version string
	scalars map[string]float32
	images  map[string]picture
}

type picture struct {
	height, width, space uint64
	coded                []byte
}

var errFormat = errors.New("not an event file")

// readEvents reads records until r ends; a torn last record is an error.
func readEvents(r io.Reader) ([]event, error) {
	var events []event
	for {
		var head [12]byte
		if _, err := io.ReadFull(r, head[:]); err == io.EOF {
			return events, nil
		} else if err != nil {
			return events, err
		}
		n := binary.LittleEndian.Uint64(head[:8])
		if slowMaskedCRC(head[:8]) != binary.LittleEndian.Uint32(head[8:]) || n > 1<<24 {
			return events, errFormat
		}
		body := make([]byte, n+4)
		if _, err := io.ReadFull(r, body); err != nil {
			return events, err
		}
		if slowMaskedCRC(body[:n]) != binary.LittleEndian.Uint32(body[n:]) {
			return events, errFormat
		}
		e, err := parseEvent(body[:n])
		if err != nil {
			return events, err
		}
		events = append(events, e)
	}
}

// slowMaskedCRC computes CRC-32C bit by bit from its polynomial.
func slowMaskedCRC(b []byte) uint32 {
	crc := ^uint32(0)
	for _, v := range b {
		crc ^= uint32(v)
		for range 8 {
			crc = crc>>1 ^ 0x82f63b78&-(crc&1)
		}
	}
	crc = ^crc
	return (crc>>15 | crc<<17) + 0xa282ead8
}

// field is one decoded field: an integer for varint and fixed, bytes otherwise.
type field struct {
	number int
	n      uint64
	b      []byte
}

func fields(b []byte, each func(field) error) error {
	for len(b) > 0 {
		key, k := binary.Uvarint(b)
		if k <= 0 {
			return errFormat
		}
		b = b[k:]
		f := field{number: int(key >> 3)}
		size := 0
		switch key & 7 {
		case 0:
			f.n, size = binary.Uvarint(b)
			if size <= 0 {
				return errFormat
			}
		case 1:
			if size = 8; len(b) >= 8 {
				f.n = binary.LittleEndian.Uint64(b)
			}
		case 5:
			if size = 4; len(b) >= 4 {
				f.n = uint64(binary.LittleEndian.Uint32(b))
			}
		case 2:
			n, k := binary.Uvarint(b)
			if k <= 0 || n > uint64(len(b)-k) {
				return errFormat
			}
			f.b, size = b[k:k+int(n)], k+int(n)
		default:
			return errFormat
		}
		if size > len(b) {
			return errFormat
		}
		b = b[size:]
		if err := each(f); err != nil {
			return err
		}
	}
	return nil
}

func parseEvent(b []byte) (event, error) {
	e := event{scalars: map[string]float32{}, images: map[string]picture{}}
	err := fields(b, func(f field) error {
		switch f.number {
		case 1:
			e.wall = math.Float64frombits(f.n)
		case 2:
			e.step = int64(f.n)
		case 3:
			e.version = string(f.b)
		case 5:
			return fields(f.b, func(f field) error { return e.value(f.b) })
		}
		return nil
	})
	return e, err
}

func (e *event) value(b []byte) error {
	var tag string
	return fields(b, func(f field) error {
		switch f.number {
		case 1:
			tag = string(f.b)
		case 2:
			e.scalars[tag] = math.Float32frombits(uint32(f.n))
		case 4:
			var p picture
			err := fields(f.b, func(f field) error {
				switch f.number {
				case 1:
					p.height = f.n
				case 2:
					p.width = f.n
				case 3:
					p.space = f.n
				case 4:
					p.coded = f.b
				}
				return nil
			})
			e.images[tag] = p
			return err
		}
		return nil
	})
}
