package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"flowgrpo/internal/run"
	"flowgrpo/internal/shell"
	"flowgrpo/reward/skeleton"
)

func newRewardNew([]string) *cobra.Command {
	var lang string
	c := &cobra.Command{
		Use:   "new FOLDER --lang " + strings.Join(skeleton.Languages, "|"),
		Short: "Write a working reward to begin with",
		Long: `Write a folder with a reward in a program of its own, its test, and a recipe that
trains with it. The reward is called as the folder.`,
		Example: `  finetune reward new --lang python warm
  finetune reward check warm/reward.py
  finetune train warm/recipe.toml`,
		Args: cobra.ExactArgs(1),
	}
	c.Flags().StringVar(&lang, "lang", "", strings.Join(skeleton.Languages, " or "))
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if !slices.Contains(skeleton.Languages, lang) {
			return usage("--lang is %q, want %s", lang, strings.Join(skeleton.Languages, " or "))
		}
		dir := args[0]
		paths, err := skeleton.Write(dir, lang)
		if err != nil {
			return &run.SetupError{Err: err}
		}
		for _, p := range paths {
			fmt.Fprintln(cmd.OutOrStdout(), p)
		}
		w := cmd.ErrOrStderr()
		fmt.Fprintln(w, "\nWhat comes next:")
		for _, line := range next(dir, lang) {
			fmt.Fprintln(w, "    "+line)
		}
		return nil
	}
	return c
}

// next returns the commands from a new reward to a run with it.
func next(dir, lang string) []string {
	quoted := func(words ...string) string { return shell.Line(words) }
	program, test := filepath.Join(dir, "reward.py"), "(cd "+quoted(dir)+" && python3 -m unittest)"
	if lang == "go" {
		program = filepath.Join(dir, filepath.Base(filepath.Clean(dir)))
		test = "(cd " + quoted(dir) + " && go test ./... && go build)"
	}
	return []string{
		test,
		quoted("finetune", "reward", "check", program),
		quoted("finetune", "train", filepath.Join(dir, "recipe.toml")),
	}
}
