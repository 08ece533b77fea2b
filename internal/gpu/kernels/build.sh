#!/usr/bin/env bash
# Compiles every kernel file to PTX with clang, which needs no CUDA toolkit: *_sm90.cu for
# Hopper, the others for Ampere and everything since. MANIFEST records what was made from
# what, so that a test can tell stale PTX where there is no clang.
set -euo pipefail
cd "$(dirname "$0")"

clang=${CLANG:-clang-19}

for source in *.cu; do
	arch=sm_80 ptx=+ptx78
	case $source in *_sm90.cu) arch=sm_90a ptx=+ptx80 ;; esac
	"$clang" -x cuda --cuda-device-only --cuda-gpu-arch=$arch --cuda-feature=$ptx -nocudainc -nocudalib \
		-std=c++17 -O3 -ffp-contract=off -Wall -Werror -Wno-unknown-cuda-version -S "$source" -o - |
		gzip -9n >"${source%.cu}.ptx.gz"
done
sha256sum build.sh ./*.cu ./*.cuh ./*.ptx.gz | sed 's|\./||' | LC_ALL=C sort -k2 >MANIFEST
