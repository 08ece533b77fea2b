package safetensors

import (
	"errors"
	"strings"
)

// foreign recognises files that people mistake for safetensors, by their first
// bytes, and says what to do with them. It returns nil if it knows none.
func foreign(begin []byte) error {
	const convert = "; convert it to safetensors first"
	for _, f := range []struct{ magic, what string }{
		{"PK\x03\x04", "a zip archive (PyTorch pickle, NumPy npz or Keras), which may run code when loaded" + convert},
		{"\x80\x02", "a PyTorch pickle file, which can run code when loaded" + convert},
		{"\x80\x03", "a pickle file, which can run code when loaded" + convert},
		{"\x80\x04", "a pickle file, which can run code when loaded" + convert},
		{"\x80\x05", "a pickle file, which can run code when loaded" + convert},
		{"GGUF", "a GGUF file (quantised for llama.cpp)" + convert},
		{"ggml", "a GGML file" + convert},
		{"ggjt", "a GGML file" + convert},
		{"lmgg", "a GGML file" + convert},
		{"\x89HDF", "an HDF5 file (Keras or TensorFlow)" + convert},
		{"\x93NUMPY", "a NumPy array" + convert},
		{"\x1f\x8b", "a gzip archive; unpack it first"},
		{"version http", "a Git LFS pointer, not the file itself; run \"git lfs pull\""},
		{"<!DOCTYPE", "an HTML page, not the file itself; the download failed"},
		{"<!doctype", "an HTML page, not the file itself; the download failed"},
		{"<html", "an HTML page, not the file itself; the download failed"},
	} {
		if strings.HasPrefix(string(begin), f.magic) {
			return errors.New("this is " + f.what)
		}
	}
	return nil
}
