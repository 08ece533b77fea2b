// Package layering holds one test: imports only point down.
package layering
