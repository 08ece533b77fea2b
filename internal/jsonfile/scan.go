package jsonfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"
)

// The functions below cut JSON in pieces without decoding it. They need a text that
// [json.Valid] accepts, without white space around it.

// Members calls f for the members of a JSON object in order: the key, decoded, and
// the value as it is written. f must not keep either. A key may come twice.
func Members(object []byte, f func(key, value []byte) error) error {
	if object[0] != '{' {
		return fmt.Errorf("must be an object, found %s", excerpt(object))
	}
	return Elements(object, func(item []byte) error {
		end := valueEnd(item, 0)
		key, err := Unquote(item[:end])
		if err != nil {
			return err
		}
		colon := skipSpace(item, end)
		return f(key, item[skipSpace(item, colon+1):])
	})
}

// Elements calls f for the items of a JSON array, or of an object, where an item is key,
// colon and value. f must not keep it.
func Elements(list []byte, f func(item []byte) error) error {
	i := skipSpace(list, 1)
	for list[i] != ']' && list[i] != '}' {
		end := valueEnd(list, i)
		if colon := skipSpace(list, end); list[colon] == ':' {
			end = valueEnd(list, skipSpace(list, colon+1))
		}
		if err := f(list[i:end]); err != nil {
			return err
		}
		if i = skipSpace(list, end); list[i] == ',' {
			i = skipSpace(list, i+1)
		}
	}
	return nil
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\n' || b[i] == '\r') {
		i++
	}
	return i
}

// valueEnd returns where the JSON value that begins at b[i] ends.
func valueEnd(b []byte, i int) int {
	depth := 0
	for ; i < len(b); i++ {
		switch b[i] {
		case '"':
			i = stringEnd(b, i) - 1
		case '{', '[':
			depth++
			continue
		case '}', ']':
			if depth == 0 {
				return i // of a number or a word, the last of its list
			}
			depth--
		case ',', ':', ' ', '\t', '\n', '\r':
			if depth == 0 {
				return i
			}
			continue
		default:
			continue
		}
		if depth == 0 { // after a string or a closing bracket
			return i + 1
		}
	}
	return i
}

// stringEnd returns where the string that begins with the quote at b[i] ends.
func stringEnd(b []byte, i int) int {
	for i++; b[i] != '"'; i++ {
		if b[i] == '\\' {
			i++
		}
	}
	return i + 1
}

// Unquote returns the text of a JSON string. It aliases v where it can.
func Unquote(v []byte) ([]byte, error) {
	if v[0] != '"' {
		return nil, errors.New("not a string")
	}
	if bytes.IndexByte(v, '\\') < 0 {
		return v[1 : len(v)-1], nil
	}
	var s string
	err := json.Unmarshal(v, &s)
	return []byte(s), err
}

// InvalidUTF8 returns the position of the first byte of b that is not UTF-8, or -1.
func InvalidUTF8(b []byte) int {
	if utf8.Valid(b) {
		return -1
	}
	for i := 0; ; {
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n <= 1 {
			return i
		}
		i += n
	}
}

// LoneSurrogate returns the position of a \ud800..\udfff escape without partner,
// which encoding/json would replace silently, or -1. b must be valid JSON.
func LoneSurrogate(b []byte) int {
	for i := 0; i < len(b); i++ {
		next := bytes.IndexByte(b[i:], '\\')
		if next < 0 {
			return -1
		}
		i += next + 1 // now at the escaped character
		if b[i] != 'u' {
			continue
		}
		switch escape(b[i-1:]) >> 10 {
		case 0xD800 >> 10:
			if escape(b[i+5:])>>10 != 0xDC00>>10 {
				return i - 1
			}
			i += 10
		case 0xDC00 >> 10:
			return i - 1
		default:
			i += 4
		}
	}
	return -1
}

// escape returns the value of the escape, \u and four hexadecimal digits, that b begins
// with, 0 if there is none.
func escape(b []byte) uint64 {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0
	}
	v, err := strconv.ParseUint(string(b[2:6]), 16, 16)
	if err != nil {
		return 0
	}
	return v
}
