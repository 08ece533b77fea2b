#!/usr/bin/env bash
# fuzz_long.sh TIME COUNT [PACKAGE...] gives every fuzz target of the packages (default all) a
# time, such as 2m, in which coverage guides what inputs are made, and then COUNT executions
# of inputs made from all that were found so far. These do not follow coverage, which costs up
# to fifty times what a parser does. It stops at the first finding, which is in the package's
# testdata/fuzz.
set -euo pipefail
time=$1 count=$2
shift 2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for package in $(go list "${@:-./...}"); do
	targets=$(go test -list '^Fuzz' "$package" | grep '^Fuzz' || true)
	test -n "$targets" || continue
	"$(dirname "$0")/fuzz.sh" "$time" "$package"
	go test -c -o "$work/test" "$package"
	for target in $targets; do
		(cd "$(go list -f '{{.Dir}}' "$package")" && "$work/test" -test.run '^$' -test.fuzz "^$target\$" -test.fuzztime "${count}x" \
			-test.fuzzminimizetime 50x -test.timeout 0 -test.fuzzcachedir "$(go env GOCACHE)/fuzz/$package") >"$work/log" 2>&1 ||
			{ cat "$work/log" && exit 1; }
		printf '%-40s %-18s %12s more, without coverage\n' "$package" "$target" "$(grep -o 'execs: [0-9]*' "$work/log" | tail -n 1 | cut -d' ' -f2)"
	done
done
