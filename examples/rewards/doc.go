// Package rewards has no code: it tests the examples of its folder.
package rewards
