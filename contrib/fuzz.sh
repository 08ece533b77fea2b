#!/usr/bin/env bash
# fuzz.sh BUDGET [PACKAGE...] gives every fuzz target of the packages (default all) a budget: a
# time such as 20s or, as 10000000x, a number of executions. It prints how many there were, and
# stops at the first finding, which go test writes to the package's testdata/fuzz.
set -euo pipefail
budget=$1
shift
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for package in $(go list "${@:-./...}"); do
	for target in $(go test -list '^Fuzz' "$package" | grep '^Fuzz' || true); do
		status=0
		go test -run '^$' -fuzz "^$target\$" -fuzztime "$budget" -fuzzminimizetime 50x -timeout 0 "$package" >"$log" 2>&1 || status=$?
		# When the time is over while an input is made smaller, go test fails without a finding.
		if [ $status -ne 0 ] && { grep -q 'Failing input written' "$log" || ! grep -q 'context deadline exceeded' "$log"; }; then
			cat "$log"
			exit 1
		fi
		count=$(grep -o 'execs: [0-9]*' "$log" | tail -1 | cut -d' ' -f2 || true)
		printf '%-40s %-18s %12s executions\n' "$package" "$target" "${count:-0}"
	done
done
