package clip

import (
	"encoding/json"
	"fmt"
)

// A size is {"shortest_edge": n}, {"height": n, "width": n} or n. Of the two numbers, the first
// or the last two are 0.
type size struct {
	Shortest int `json:"shortest_edge"`
	Height   int `json:"height"`
	Width    int `json:"width"`
}

// UnmarshalJSON implements json.Unmarshaler. A bare number is a shortest edge; of a crop, a
// square, see square.
func (s *size) UnmarshalJSON(b []byte) error {
	*s = size{}
	if b[0] != '{' {
		return json.Unmarshal(b, &s.Shortest)
	}
	var known struct {
		Shortest *int `json:"shortest_edge"`
		Height   *int `json:"height"`
		Width    *int `json:"width"`
		Longest  *int `json:"longest_edge"`
	}
	if err := json.Unmarshal(b, &known); err != nil {
		return err
	}
	switch {
	case known.Longest != nil:
		return fmt.Errorf("a size with longest_edge is not supported: %s", b)
	case known.Shortest != nil && known.Height == nil && known.Width == nil:
		s.Shortest = *known.Shortest
	case known.Shortest == nil && known.Height != nil && known.Width != nil:
		s.Height, s.Width = *known.Height, *known.Width
	default:
		return fmt.Errorf("a size is {\"shortest_edge\"}, {\"height\", \"width\"} or a number, found %s", b)
	}
	return nil
}

// square returns the side of a square, or 0 if s is none.
func (s size) square() int {
	if s.Shortest > 0 {
		return s.Shortest
	}
	if s.Height == s.Width {
		return s.Height
	}
	return 0
}

// maxSide bounds the sides of sizes.
const maxSide = 1 << 14

func (s size) valid() bool {
	return max(s.Shortest, min(s.Height, s.Width)) > 0 && max(s.Shortest, s.Height, s.Width) <= maxSide
}
