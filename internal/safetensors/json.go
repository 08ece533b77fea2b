package safetensors

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"flowgrpo/internal/jsonfile"
)

// checkJSON requires one JSON object from the first byte on, followed by spaces
// only, in valid Unicode. What it accepts, jsonfile cuts in pieces without further errors
// of grammar.
func checkJSON(b []byte) error {
	if len(b) == 0 || b[0] != '{' {
		found := "nothing"
		if len(b) > 0 {
			found = strconv.QuoteRune(rune(b[0]))
		}
		return fmt.Errorf("header must begin with '{', found %s", found)
	}
	if i := jsonfile.InvalidUTF8(b); i >= 0 {
		return fmt.Errorf("header is not valid UTF-8 at byte %d", i)
	}
	trimmed := bytes.TrimRight(b, " ")
	if trimmed[len(trimmed)-1] != '}' || !json.Valid(trimmed) {
		return errors.New("header is not a JSON object padded with spaces")
	}
	if i := jsonfile.LoneSurrogate(b); i >= 0 {
		return fmt.Errorf("header is not valid UTF-8 at byte %d", i)
	}
	return nil
}
