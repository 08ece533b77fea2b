"""Says of every file on standard input whether the reference implementation reads it.

A file is its length, 4 bytes little-endian, and its bytes; a verdict is one byte, "+" or "-"."""
import struct
import sys

import safetensors

read, write = sys.stdin.buffer.read, sys.stdout.buffer.write
while size := read(4):
    content = read(struct.unpack("<I", size)[0])
    try:
        safetensors.deserialize(content)
        write(b"+")
    except (safetensors.SafetensorError, KeyError):
        write(b"-")
