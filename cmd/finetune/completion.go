package main

import (
	"github.com/spf13/cobra"

	"flowgrpo/configs"
	"flowgrpo/internal/config"
)

func newCompletion([]string) *cobra.Command {
	return &cobra.Command{
		Use:   "completion bash|zsh|fish|powershell",
		Short: "Print a script that completes commands, recipes and keys",
		Example: `  source <(finetune completion bash)
  finetune completion zsh > "${fpath[1]}/_finetune"`,
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{"bash", "zsh", "fish", "powershell"},
		RunE: func(cmd *cobra.Command, args []string) error {
			w := cmd.OutOrStdout()
			switch args[0] {
			case "bash":
				return cmd.Root().GenBashCompletionV2(w, true)
			case "zsh":
				return cmd.Root().GenZshCompletion(w)
			case "fish":
				return cmd.Root().GenFishCompletion(w, true)
			}
			return cmd.Root().GenPowerShellCompletionWithDesc(w)
		},
	}
}

// completeRecipes completes the names of embedded recipes; files are completed too.
func completeRecipes(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return configs.List(), cobra.ShellCompDirectiveDefault
}

// completeKeys completes the keys of --set.
func completeKeys(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	var keys []string
	for _, k := range config.Keys() {
		keys = append(keys, k.Key+"=\t"+k.Doc)
	}
	return keys, cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp
}
