package safetensors

import (
	"bytes"
	"errors"
)

// magicSize is how many bytes of a file foreign wants to see.
const magicSize = 96

// formats are files that people mistake for safetensors, by their first bytes.
var formats = []struct{ magic, what string }{
	{"\x80\x02", "a PyTorch pickle file, which can run code when loaded; " + convert},
	{"\x80\x03", "a pickle file, which can run code when loaded; " + convert},
	{"\x80\x04", "a pickle file, which can run code when loaded; " + convert},
	{"\x80\x05", "a pickle file, which can run code when loaded; " + convert},
	{"GGUF", "a GGUF file (quantised for llama.cpp); " + convert},
	{"ggml", "a GGML file; " + convert},
	{"ggjt", "a GGML file; " + convert},
	{"lmgg", "a GGML file; " + convert},
	{"\x89HDF", "an HDF5 file (Keras or TensorFlow), which can run code when loaded; " + convert},
	{"\x93NUMPY", "a NumPy array; " + convert},
	{"\x1f\x8b", "a gzip archive; unpack it first"},
	{"version http", "a Git LFS pointer, not the file itself; run \"git lfs pull\""},
	{"<!DOCTYPE", "an HTML page, not the file itself; the download failed"},
	{"<!doctype", "an HTML page, not the file itself; the download failed"},
	{"<html", "an HTML page, not the file itself; the download failed"},
}

const convert = "convert it to safetensors first"

// foreign recognises files that people mistake for safetensors, by their first
// bytes, and says what to do with them. It returns nil if it knows none.
func foreign(start []byte) error {
	if bytes.HasPrefix(start, []byte("PK\x03\x04")) {
		return errors.New("this is " + archive(start))
	}
	for _, f := range formats {
		if bytes.HasPrefix(start, []byte(f.magic)) {
			return errors.New("this is " + f.what)
		}
	}
	return nil
}

// archive says which zip archive begins with start, by the name of its first member.
func archive(start []byte) string {
	switch {
	case bytes.Contains(start, []byte("/data.pkl")):
		return "a PyTorch pickle file, which can run code when loaded; " + convert
	case bytes.Contains(start, []byte("metadata.json")), bytes.Contains(start, []byte("config.json")):
		return "a Keras file, which can run code when loaded; " + convert
	}
	return "a zip archive (PyTorch pickle, NumPy npz or Keras), which may run code when loaded; " + convert
}
