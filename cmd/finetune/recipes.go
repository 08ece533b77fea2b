package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"flowgrpo/configs"
	"flowgrpo/internal/config"
	"flowgrpo/internal/edit"
)

func newRecipes([]string) *cobra.Command {
	c := &cobra.Command{
		Use:   "recipes",
		Short: "List, show and copy the recipes that come with the program",
		Long: `A recipe is a TOML file that says everything about a run. Any key can be changed for
one run with --set; to change more, copy a recipe and edit it.`,
		Example: `  finetune recipes ls
  finetune recipes cp glyphs my.toml && finetune train my.toml
  finetune recipes keys rollout`,
		Args: cobra.ArbitraryArgs,
		RunE: helpOnly,
	}
	c.AddCommand(newRecipesList(), newRecipesShow(), newRecipesCopy(), newRecipesKeys())
	return c
}

func newRecipesList() *cobra.Command {
	return &cobra.Command{
		Use:   "ls",
		Short: "List the recipes",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			t := newTable(cmd.OutOrStdout())
			for _, name := range configs.List() {
				text, _ := configs.Read(name) // it is in the list
				fmt.Fprintf(t, "%s\t%s\n", name, firstSentence(string(text)))
			}
			return t.Flush()
		},
	}
}

// firstSentence returns the first sentence of a recipe's opening comment.
func firstSentence(recipe string) string {
	var words []string
	for line := range strings.Lines(recipe) {
		comment, ok := strings.CutPrefix(strings.TrimSpace(line), "#")
		if !ok {
			break
		}
		words = append(words, strings.Fields(comment)...)
	}
	text := strings.Join(words, " ")
	if i := strings.Index(text, ". "); i >= 0 {
		text = text[:i]
	}
	if i := strings.Index(text, ": "); i >= 0 {
		text = text[:i]
	}
	return strings.TrimSuffix(text, ".")
}

func newRecipesShow() *cobra.Command {
	var recipe recipeFlags
	var all bool
	c := &cobra.Command{
		Use:     "show RECIPE",
		Short:   "Print a recipe",
		Example: "  finetune recipes show glyphs\n  finetune recipes show glyphs --all --set seed=2",
		Args:    cobra.ExactArgs(1),
	}
	recipe.add(c)
	c.Flags().BoolVar(&all, "all", false, "print every key with the value that a run would use")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		text, cfg, err := recipe.load(args)
		if err != nil {
			return err
		}
		out := []byte(text.Text)
		if all || len(recipe.sets) > 0 {
			if out, err = config.Encode(cfg); err != nil {
				return err
			}
		}
		_, err = cmd.OutOrStdout().Write(out)
		return err
	}
	return c
}

func newRecipesCopy() *cobra.Command {
	return &cobra.Command{
		Use:     "cp RECIPE FILE",
		Short:   "Copy a recipe to a new file",
		Example: "  finetune recipes cp shapes my.toml",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			recipe, err := config.Open(args[0])
			if err != nil {
				return err
			}
			f, err := os.OpenFile(args[1], os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
			if errors.Is(err, fs.ErrExist) {
				return usage("%s exists; it is left as it is", args[1])
			}
			if err != nil {
				return err
			}
			_, err = f.WriteString(recipe.Text)
			return errors.Join(err, f.Close())
		},
	}
}

// nearestKey returns the question whether a section or key like word was meant; "" if there
// is none.
func nearestKey(word string) string {
	var known []string
	for _, k := range config.Keys() {
		section, _, _ := strings.Cut(k.Key, ".")
		known = append(known, k.Key, section)
	}
	if near := edit.Nearest(word, known, 3); near != "" {
		return fmt.Sprintf("; did you mean %q?", near)
	}
	return ""
}

func newRecipesKeys() *cobra.Command {
	return &cobra.Command{
		Use:     "keys [SECTION]",
		Short:   "Explain the keys of recipes",
		Example: "  finetune recipes keys\n  finetune recipes keys grpo",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			found := false
			for _, k := range config.Keys() {
				if len(args) > 0 && k.Key != args[0] && !strings.HasPrefix(k.Key, args[0]+".") {
					continue
				}
				found = true
				about := k.Type
				if k.Allowed != "" {
					about += ", " + k.Allowed
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s = %s\n    %s\n    %s\n", k.Key, k.Default, about, k.Doc)
			}
			if !found {
				return usage("no section or key %q%s", args[0], nearestKey(args[0]))
			}
			return nil
		},
	}
}
