//go:build !amd64

package kernel

const supported = Portable
