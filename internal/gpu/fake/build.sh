#!/bin/sh
# Build the fake CUDA driver: build.sh OUTPUT [KERNELS.cu...]. Without kernels, those of ../kernels
# are taken; "none" takes none. CXX is the compiler.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
output=$1
shift
[ $# -gt 0 ] || set -- "$here"/../kernels/*.cu
[ "$1" != none ] || set --

: "${CXX:=clang++-19}"
objects=$(mktemp -d)
trap 'rm -rf "$objects"' EXIT

flags='-x c++ -std=c++17 -O2 -fPIC -fvisibility=hidden -pthread'
for source in "$here"/*.cpp "$@"; do
	host=
	case $source in *.cu) host='-DGPU_HOST' ;; esac
	"$CXX" $flags $host -c "$source" -o "$objects/$(basename "$source").o"
done
mkdir -p "$(dirname "$output")"
"$CXX" -shared -pthread -o "$output" "$objects"/*.o
