package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
	"github.com/spf13/cobra"

	"flowgrpo/internal/run"
	"flowgrpo/reward"
)

// targetHelp is what the help of commands says of their argument REWARD.
const targetHelp = `REWARD is a program ("./reward.py", or "python3 reward.py --fast" in quotes), the
address of a service (http://host:8000) or a kind that "finetune reward list" shows.`

// rewardTarget is the reward that a command is about.
type rewardTarget struct {
	world  string
	params []string
}

// flags adds the flags that say more of the reward.
func (t *rewardTarget) flags(c *cobra.Command) {
	c.Flags().StringVar(&t.world, "world", "glyphs", "whose reader, detector and pictures: "+strings.Join(run.Worlds, " or "))
	c.Flags().StringArrayVar(&t.params, "param", nil, "key=value as in a recipe's [reward.NAME], such as timeout=5s; repeatable")
}

// open makes the reward that name stands for. The caller closes it.
func (t *rewardTarget) open(name string) (reward.Reward, *run.Tryout, error) {
	tryout, err := run.OpenTryout(t.world)
	if err != nil {
		return nil, nil, err
	}
	kind, params, err := t.resolve(name)
	if err != nil {
		return nil, nil, err
	}
	r, err := reward.New(kind, displayName(name), params, tryout.Deps)
	if err != nil {
		return nil, nil, &run.SetupError{Err: fmt.Errorf("%w%s", err, t.worldHint(err))}
	}
	return r, tryout, nil
}

// worldHint says which world has what a reward wants and does not get.
func (t *rewardTarget) worldHint(err error) string {
	for _, world := range run.Worlds {
		if world != t.world && is[*reward.LackError](err) {
			return "; try --world " + world
		}
	}
	return ""
}

// resolve returns the kind of the reward and its parameters.
func (t *rewardTarget) resolve(name string) (kind string, params map[string]any, err error) {
	params = map[string]any{}
	for _, p := range t.params {
		key, value, ok := strings.Cut(p, "=")
		if !ok {
			return "", nil, usage("--param %s: want key=value", p)
		}
		params[key] = tomlValue(value)
	}
	isKind := func(d reward.KindDoc) bool { return d.Kind == name }
	switch {
	case strings.Contains(name, "://"):
		params["url"] = name
		return "http", params, nil
	case slices.ContainsFunc(reward.Kinds(), isKind):
		return name, params, nil
	}
	command, err := commandLine(name)
	params["command"] = command
	return "exec", params, err
}

// tomlValue reads s as a value of a recipe, or else as a plain string.
func tomlValue(s string) any {
	var v struct{ V any }
	if _, err := toml.Decode("V = "+s, &v); err != nil {
		return s
	}
	return v.V
}

// commandLine cuts a command line at its blanks.
func commandLine(line string) ([]any, error) {
	words := strings.Fields(line)
	if len(words) == 0 {
		return nil, usage("which reward? give a program, an address or a kind")
	}
	if _, err := os.Stat(words[0]); err != nil && len(words) == 1 && !strings.ContainsRune(line, os.PathSeparator) {
		return nil, usage("%q is neither a kind of reward nor a file; `finetune reward list` shows the kinds", line)
	}
	var command []any
	for _, w := range words {
		command = append(command, w)
	}
	return command, nil
}

// displayName is how errors call the reward: the last part of a path.
func displayName(name string) string {
	words := strings.Fields(name)
	if strings.Contains(name, "://") || len(words) == 0 {
		return name
	}
	last := words[0]
	for _, w := range words { // of "python3 reward.py --fast": the script
		if ext := filepath.Ext(w); ext != "" && !strings.HasPrefix(w, "-") {
			last = w
			break
		}
	}
	return strings.TrimSuffix(filepath.Base(last), filepath.Ext(last))
}

// parts says the named parts of a score, sorted.
func parts(m map[string]float64) string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		out = append(out, name+" "+number(m[name]))
	}
	return strings.Join(out, ", ")
}
