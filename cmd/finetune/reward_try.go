package main

import (
	"cmp"
	"errors"
	"fmt"
	"image"
	_ "image/jpeg" // formats that can be read
	_ "image/png"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"flowgrpo/internal/run"
	"flowgrpo/reward"
	"flowgrpo/task"
)

// tryFlags are the flags of `finetune reward try`.
type tryFlags struct {
	rewardTarget
	asked
	asJSON bool
}

func newRewardTry([]string) *cobra.Command {
	var t tryFlags
	c := &cobra.Command{
		Use:   "try REWARD IMAGE… --prompt TEXT",
		Short: "Score pictures from files",
		Long: `Score PNG and JPEG files as answers to one prompt, all of them as one group.
` + targetHelp,
		Example: `  finetune reward try brightness dawn.png dusk.png
  finetune reward try ./reward.py sign.png --prompt 'a sign that says "GO26"' --metadata '{"text": "GO26"}'`,
		Args: cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error { return t.run(cmd, args[0], args[1:]) },
	}
	t.rewardTarget.flags(c)
	t.asked.flags(c)
	c.Flags().BoolVar(&t.asJSON, "json", false, "print JSON")
	return c
}

// scored is what is told of a picture.
type scored struct {
	File  string             `json:"file"`
	Score *float64           `json:"score"` // nil if there is none
	Parts map[string]float64 `json:"parts,omitempty"`
	Error string             `json:"error,omitempty"`
}

// run scores the files and prints a line for each. It fails if one has no score.
func (t *tryFlags) run(cmd *cobra.Command, name string, files []string) error {
	batch, err := t.samples(files)
	if err != nil {
		return err
	}
	r, _, err := t.open(name)
	if err != nil {
		return err
	}
	results, err := r.Score(stopOf(cmd.Context()), batch)
	if err = errors.Join(err, reward.Close(r)); err != nil {
		return err
	}
	failed, first := 0, error(nil)
	var rows []scored
	for i, res := range results {
		row := scored{File: files[i], Parts: res.Parts}
		if res.Err != nil {
			row.Error = res.Err.Error()
			failed, first = failed+1, cmp.Or(first, res.Err)
		} else {
			row.Score = &results[i].Score
		}
		rows = append(rows, row)
	}
	if err := t.print(cmd, rows); err != nil {
		return err
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d pictures have no score: %w", failed, len(files), first)
	}
	return nil
}

func (t *tryFlags) print(cmd *cobra.Command, rows []scored) error {
	if t.asJSON {
		return printJSON(cmd.OutOrStdout(), rows)
	}
	w := newTable(cmd.OutOrStdout())
	fmt.Fprintln(w, "FILE\tSCORE\tPARTS")
	for _, row := range rows {
		if row.Score == nil {
			fmt.Fprintf(w, "%s\t–\t%s\n", row.File, row.Error)
			continue
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", row.File, number(*row.Score), parts(row.Parts))
	}
	return w.Flush()
}

// samples reads the files.
func (t *tryFlags) samples(files []string) ([]reward.Sample, error) {
	var batch []reward.Sample
	for _, file := range files {
		img, err := readPicture(file)
		if err != nil {
			return nil, err
		}
		batch = append(batch, reward.Sample{Image: img})
	}
	return batch, t.asked.set(batch)
}

// readPicture reads a PNG or JPEG file as RGB.
func readPicture(file string) (task.Image, error) {
	f, err := os.Open(file)
	if err != nil {
		return task.Image{}, usageError{err}
	}
	defer f.Close() // read only
	src, _, err := image.Decode(f)
	if err != nil {
		return task.Image{}, &run.InputError{Err: fmt.Errorf("%s: not a picture that can be read: %w", file, err)}
	}
	img := task.NewImage(3, src.Bounds().Dy(), src.Bounds().Dx())
	img.FromImage(src)
	return img, nil
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) }
