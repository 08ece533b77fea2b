package run

import (
	"encoding/json"
	"fmt"
	"os"

	"flowgrpo/internal/config"
	"flowgrpo/internal/imagefolder"
	"flowgrpo/internal/lru"
	"flowgrpo/internal/rng"
	"flowgrpo/policy"
	"flowgrpo/reward"
	"flowgrpo/task"
)

// referenceStyle is the style of the renderings that rewards compare with. No other picture
// of a run has it.
const referenceStyle = 1 << 20

// renderings returns what renders the prompts of w, all in one style.
func renderings(w task.World) reward.References {
	c, h, wd := w.Shape()
	return remembered(c*h*wd, func(p task.Prompt) (img task.Image, err error) {
		defer func() {
			if v := recover(); v != nil { // of a prompt that is not of this world
				err = fmt.Errorf("no reference picture: %v", v)
			}
		}()
		if len(p.Metadata) == 0 {
			return img, fmt.Errorf("no reference picture: the prompt %q has no metadata to draw it from", p.Text)
		}
		img = task.NewImage(c, h, wd)
		w.Render(p, rng.Key{Purpose: rng.Render, Sample: referenceStyle}, img)
		return img, nil
	})
}

// openReferences opens the recipe's folder of reference pictures, if it names one, for
// pictures of shape s. They are read when they are asked for.
func (p *Problem) openReferences(c *config.Config, s policy.Shape) error {
	if c.Task.References == "" {
		return nil
	}
	root, err := os.OpenRoot(c.Task.References)
	if err != nil {
		return fmt.Errorf("%s: task.references: %w", c.Path, err)
	}
	p.references = root
	p.deps.References = remembered(s.Dim(), func(p task.Prompt) (task.Image, error) {
		file, err := referenceFile(p)
		if err != nil {
			return task.Image{}, err
		}
		img, err := imagefolder.Picture(root, file, s.Channels, s.Height, s.Width)
		if err != nil {
			return img, fmt.Errorf("reference %q: %w", file, err)
		}
		return img, nil
	})
	return nil
}

// referenceFile returns the name that p's metadata has for its reference picture.
func referenceFile(p task.Prompt) (string, error) {
	var m struct {
		Reference *string `json:"reference"`
	}
	if len(p.Metadata) > 0 {
		if err := json.Unmarshal(p.Metadata, &m); err != nil {
			return "", fmt.Errorf("metadata: %w", err)
		}
	}
	if m.Reference == nil {
		return "", fmt.Errorf("the prompt %q has no \"reference\" in its metadata", p.Text)
	}
	return *m.Reference, nil
}

// referenceBytes bounds the memory of reference pictures that are kept, but for 32 of them.
const referenceBytes = 256 << 20

// remembered returns draw with a memory: the samples of a group, and more than one reward,
// ask for the same picture. dim is the number of values of a picture.
func remembered(dim int, draw reward.References) reward.References {
	kept := lru.New[string, task.Image](max(32, referenceBytes/(4*dim)))
	return func(p task.Prompt) (task.Image, error) {
		key := p.Text + "\x00" + string(p.Metadata)
		if img, ok := kept.Get(key); ok {
			return img, nil
		}
		img, err := draw(p)
		if err == nil {
			kept.Put(key, img)
		}
		return img, err
	}
}
