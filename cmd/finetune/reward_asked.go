package main

import (
	"encoding/json"

	"github.com/spf13/cobra"

	"flowgrpo/reward"
)

// asked is what samples are made to be answers to.
type asked struct{ prompt, metadata string }

// flags adds --prompt and --metadata.
func (a *asked) flags(c *cobra.Command) {
	c.Flags().StringVar(&a.prompt, "prompt", "", "what the pictures were to show")
	c.Flags().StringVar(&a.metadata, "metadata", "", "the prompt's metadata, a JSON object")
}

// set gives all samples of the batch the prompt and the metadata, where there are any.
func (a *asked) set(batch []reward.Sample) error {
	var object map[string]json.RawMessage
	if a.metadata != "" && (json.Unmarshal([]byte(a.metadata), &object) != nil || object == nil) {
		return usage("--metadata %s: want a JSON object", a.metadata)
	}
	for i := range batch {
		p := &batch[i].Prompt
		if a.prompt != "" {
			p.Text = a.prompt
		}
		if a.metadata != "" {
			p.Metadata = []byte(a.metadata)
		}
	}
	return nil
}
