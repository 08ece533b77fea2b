//go:build gpu

package gpu

import (
	"compress/gzip"
	"embed"
	"fmt"
	"io"
	"regexp"
	"sync"
)

// files are the kernels as clang made them, to be compiled by the driver for its GPU.
//
//go:embed kernels/*.ptx.gz
var files embed.FS

// function matches a kernel in PTX: from its head to clang's remark at its end. (A closing
// brace alone says nothing, as assembly has blocks too.)
var function = regexp.MustCompile(`(?ms)^\.visible \.entry (\w+)\(.*?// -- End function\n}\n`)

// An image is the PTX of one kernel: what its file declares, and the kernel. To load it
// costs the driver the time to compile this kernel alone.
type image struct{ declarations, kernel string }

// images returns the image of every kernel, by name.
var images = sync.OnceValue(func() map[string]image {
	found := map[string]image{}
	list, err := files.ReadDir("kernels")
	if err != nil {
		panic(err)
	}
	for _, f := range list {
		text := unpack("kernels/" + f.Name())
		declarations := string(function.ReplaceAll(text, nil))
		for _, m := range function.FindAllSubmatch(text, -1) {
			name := string(m[1])
			if _, twice := found[name]; twice {
				panic(fmt.Sprintf("gpu: two kernels are called %s", name))
			}
			found[name] = image{declarations, string(m[0])}
		}
	}
	return found
})

// unpack returns the text of an embedded file.
func unpack(path string) []byte {
	f, err := files.Open(path)
	if err != nil {
		panic(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		panic(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		panic(err)
	}
	return text
}
