package plugin

import "embed"

// Source holds the kits as files to copy: this package's, without this one, and
// python/flowgrpo_reward.py for rewards in Python.
//
//go:embed plugin.go each.go message.go handler.go main.go python/flowgrpo_reward.py
var Source embed.FS
