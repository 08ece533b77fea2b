package run

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"flowgrpo/internal/config"
	"flowgrpo/task"
)

// promptDigests are the SHA-256 of the prompts of a run.
type promptDigests struct {
	Train   string `json:"train_sha256,omitempty"`
	HeldOut string `json:"heldout_sha256,omitempty"`
}

func (p *Problem) digests() promptDigests {
	return promptDigests{digestPrompts(p.Train), digestPrompts(p.HeldOut)}
}

// digestPrompts returns a digest of everything that prompts say, and of their order.
func digestPrompts(prompts []task.Prompt) string {
	h := sha256.New()
	for _, p := range prompts {
		b := binary.LittleEndian.AppendUint32(nil, p.ID)
		for _, text := range []string{p.Text, p.Category, string(p.Metadata)} {
			b = binary.LittleEndian.AppendUint64(b, uint64(len(text)))
			b = append(b, text...)
		}
		h.Write(b)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// What a resumed run is called to differ in besides keys.
const (
	datasetDrift = "dataset"
	heldOutDrift = "heldout"
)

// drift returns how the session differs from the run that state is of.
func (s *Session) drift(state checkpointState) []config.Difference {
	if state.Values == nil {
		return nil // format 1
	}
	out := config.Differences(state.Values, config.Values(s.Config))
	was, is := state.Prompts, s.Problem.digests()
	for _, d := range []config.Difference{
		{Key: datasetDrift, Was: was.Train, Is: is.Train, Class: config.MustMatch},
		{Key: heldOutDrift, Was: was.HeldOut, Is: is.HeldOut, Class: config.MustMatch},
	} {
		if d.Was != d.Is {
			d.Was, d.Is = fmt.Sprintf("SHA-256 %.12s…", d.Was), fmt.Sprintf("%.12s…", d.Is)
			out = append(out, d)
		}
	}
	return out
}

// checkDrift returns an error that names all differences that a resumed run must not have,
// unless they are allowed, and all that are allowed and are none.
func checkDrift(found []config.Difference, allowed []string) error {
	var refused, keys []string
	for _, d := range found {
		if d.Class == config.MustMatch && !slices.Contains(allowed, d.Key) {
			refused, keys = append(refused, d.String()), append(keys, d.Key)
		}
	}
	if len(refused) > 0 {
		return fmt.Errorf("cannot resume: %s; start a new run or pass --allow-drift=%s",
			strings.Join(refused, "; "), strings.Join(append(keys, allowed...), ","))
	}
	for _, key := range allowed {
		if !slices.ContainsFunc(found, func(d config.Difference) bool { return d.Key == key }) {
			return fmt.Errorf("cannot resume: --allow-drift names %s, which is what it was", key)
		}
	}
	return nil
}
