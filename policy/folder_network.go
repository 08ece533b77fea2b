package policy

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"flowgrpo/internal/jsonfile"
)

// Class names in config.json and model_index.json.
const (
	mmditClass     = "SD3Transformer2DModel"
	mlpClass       = "FlowGRPOMLP"
	sd3Pipeline    = "StableDiffusion3Pipeline"
	ownPipeline    = "FlowGRPOPipeline"
	schedulerClass = "FlowMatchEulerDiscreteScheduler"
)

// diffusersVersion is the version of diffusers that folders are tested with.
const diffusersVersion = "0.42.1"

// sd3Tokens is the length of a prompt that diffusers gives Stable Diffusion 3: 77
// tokens of the two CLIP encoders, 256 of T5.
const sd3Tokens = 77 + 256

// mmditConfig is config.json of an MMDiT; its own fields hide those that may be
// null.
type mmditConfig struct {
	Class   string `json:"_class_name"`
	Version string `json:"_diffusers_version"`
	MMDiT
	OutChannels *int    `json:"out_channels"`
	QKNorm      *string `json:"qk_norm"`
}

// mlpConfig is config.json of an MLP.
type mlpConfig struct {
	Class string `json:"_class_name"`
	MLP
}

// picture is flowgrpo.json: what config.json does not say.
type picture struct {
	Format int `json:"format"` // of this file, 1
	Height int `json:"height"`
	Width  int `json:"width"`
	Tokens int `json:"tokens"`
}

const pictureFormat = 1

// loadNetwork reads transformer/config.json and flowgrpo.json.
func loadNetwork(fsys fs.FS) (Network, error) {
	name := networkFolder + "/" + configFile
	var class struct {
		Name string `json:"_class_name"`
	}
	if err := jsonfile.Read(fsys, name, &class, false); err != nil {
		return nil, err
	}
	switch class.Name {
	case mmditClass:
		return loadMMDiT(fsys, name)
	case mlpClass:
		c := mlpConfig{}
		if err := jsonfile.Read(fsys, name, &c, true); err != nil {
			return nil, err
		}
		if err := c.MLP.Validate(); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		return &c.MLP, nil
	}
	return nil, fmt.Errorf("%s: _class_name is %.100q; this program runs %s and %s", name, class.Name, mmditClass, mlpClass)
}

func loadMMDiT(fsys fs.FS, name string) (*MMDiT, error) {
	c := mmditConfig{MMDiT: MMDiT{ // diffusers' defaults
		SampleSize: 128, PatchSize: 2, InChannels: 16, NumLayers: 18, HeadDim: 64, Heads: 18,
		JointAttentionDim: 4096, CaptionDim: 1152, PooledDim: 2048, PosEmbedMaxSize: 96,
	}}
	if err := jsonfile.Read(fsys, name, &c, false); err != nil {
		return nil, err
	}
	net := &c.MMDiT
	net.OutChannels = net.InChannels
	if c.OutChannels != nil {
		net.OutChannels = *c.OutChannels
	}
	if c.QKNorm != nil {
		net.QKNorm = *c.QKNorm
	}
	p := picture{Format: pictureFormat, Height: net.SampleSize, Width: net.SampleSize, Tokens: sd3Tokens}
	if err := jsonfile.Read(fsys, pictureFile, &p, true); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if p.Format != pictureFormat {
		return nil, fmt.Errorf("%s: format is %d; this program knows %d", pictureFile, p.Format, pictureFormat)
	}
	net.Height, net.Width, net.Tokens = p.Height, p.Width, p.Tokens
	if err := net.Validate(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return net, nil
}

// storable returns the network inside of its wrappers, if it has a form on disk.
func storable(n Network) (Network, error) {
	switch n := n.(type) {
	case *Guided:
		return storable(n.Network)
	case *MMDiT, *MLP:
		return n, nil
	case *Captioned:
		return nil, errors.New("policy: save: a captioned network is saved as the model that Split returns")
	}
	return nil, fmt.Errorf("policy: save: a %T has no form on disk", n)
}

// saveNetwork writes the index, the configuration and the size of the picture.
func saveNetwork(dir string, net Network) error {
	config := filepath.Join(dir, networkFolder, configFile)
	switch n := net.(type) {
	case *MLP:
		if err := writeJSON(filepath.Join(dir, indexFile), index(ownPipeline, "flowgrpo", mlpClass)); err != nil {
			return err
		}
		return writeJSON(config, mlpConfig{mlpClass, *n})
	case *MMDiT:
		if err := n.Validate(); err != nil {
			return err
		}
		if err := writeJSON(filepath.Join(dir, indexFile), index(sd3Pipeline, "diffusers", mmditClass)); err != nil {
			return err
		}
		p := picture{pictureFormat, n.Height, n.Width, n.Tokens}
		if err := writeJSON(filepath.Join(dir, pictureFile), p); err != nil {
			return err
		}
		return writeJSON(config, newMMDiTConfig(*n))
	}
	panic(fmt.Sprintf("policy: a %T has no form on disk", net))
}

func newMMDiTConfig(n MMDiT) mmditConfig {
	c := mmditConfig{Class: mmditClass, Version: diffusersVersion, MMDiT: n, OutChannels: &n.OutChannels}
	if n.QKNorm != "" {
		c.QKNorm = &n.QKNorm
	}
	if n.DualAttentionLayers == nil {
		c.DualAttentionLayers = []int{} // null is no list to diffusers
	}
	return c
}

// index returns model_index.json. The text encoder is not listed, as it has no class
// in Python: diffusers loads the pipeline when told that the null parts are None.
func index(pipeline, library, network string) map[string]any {
	m := map[string]any{
		"_class_name": pipeline, "_diffusers_version": diffusersVersion,
		"transformer": [2]string{library, network},
		"scheduler":   [2]string{"diffusers", schedulerClass},
	}
	if pipeline == sd3Pipeline {
		for _, part := range []string{
			"feature_extractor", "image_encoder", "text_encoder", "text_encoder_2", "text_encoder_3",
			"tokenizer", "tokenizer_2", "tokenizer_3", "vae",
		} {
			m[part] = [2]*string{}
		}
	}
	return m
}

// checkIndex refuses folders of other pipelines; a folder without an index passes.
func checkIndex(fsys fs.FS) error {
	var i struct {
		Class string `json:"_class_name"`
	}
	err := jsonfile.Read(fsys, indexFile, &i, false)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case i.Class != sd3Pipeline && i.Class != ownPipeline:
		return fmt.Errorf("%s: _class_name is %.100q; this program runs %s and %s", indexFile, i.Class, sd3Pipeline, ownPipeline)
	}
	return nil
}

// scheduler is scheduler_config.json: the part that this package knows.
type scheduler struct {
	Class   string  `json:"_class_name"`
	Version string  `json:"_diffusers_version"`
	Times   int     `json:"num_train_timesteps"`
	Shift   float64 `json:"shift"`
	Dynamic bool    `json:"use_dynamic_shifting"`
}

func newScheduler(shift float64) scheduler {
	if shift == 0 {
		shift = 1
	}
	return scheduler{Class: schedulerClass, Version: diffusersVersion, Times: timeScale, Shift: shift}
}

// What rollout.shift of a recipe may be, too.
const (
	minShift = 1e-3
	maxShift = 1000
)

// loadShift returns the static shift of the folder's scheduler, or 0 if there is no
// scheduler or its shift depends on the size of the picture.
func loadShift(fsys fs.FS) (float64, error) {
	s := newScheduler(0)
	err := jsonfile.Read(fsys, schedulerFile, &s, false)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return 0, nil
	case err != nil:
		return 0, err
	case s.Class != schedulerClass:
		return 0, fmt.Errorf("%s: _class_name is %.100q, want %s", schedulerFile, s.Class, schedulerClass)
	case s.Times != timeScale:
		return 0, fmt.Errorf("%s: num_train_timesteps is %d, want %d", schedulerFile, s.Times, timeScale)
	case s.Dynamic:
		return 0, nil
	case !(minShift <= s.Shift && s.Shift <= maxShift):
		return 0, fmt.Errorf("%s: shift is %v, want %g to %d", schedulerFile, s.Shift, minShift, maxShift)
	}
	return s.Shift, nil
}
