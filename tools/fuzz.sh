#!/usr/bin/env bash
# Runs every fuzz target of the module in turn: tools/fuzz.sh DURATION. `tools/fuzz.sh list` only names them.
set -euo pipefail
cd "$(dirname "$0")/.."

# One line for each target: PACKAGE NAME. go test -list prints the names of a package before its "ok" line.
targets() {
	go test -list '^Fuzz' ./... | awk '$1 == "ok" {for (i = 0; i < n; i++) print $2, name[i]; n = 0} /^Fuzz/ {name[n++] = $1}'
}

# Go before 1.27 may report the end of the fuzz time itself as a failure, without a failing input (golang/go#75804):
# that, and nothing else, is tried again.
fuzz() {
	local try
	for try in 1 2 3; do
		if go test -run '^$' -fuzz "^$2\$" -fuzztime "$3" "$1" 2>&1 | tee "$log"; then
			return 0
		fi
		if grep -q -e 'Failing input written' -e 'panic' "$log" || ! grep -q '^ *context deadline exceeded$' "$log"; then
			return 1
		fi
		echo "fuzz: $2: the end of the fuzz time was reported as a failure (try $try of 3)"
	done
	return 1
}

found=$(targets)
if [ -z "$found" ]; then
	echo "fuzz: there is no fuzz target" >&2
	exit 1
fi
if [ "${1:?a duration, or list}" = list ]; then
	echo "$found"
	exit 0
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
while read -r package name; do
	echo "fuzz: $name in $package for $1"
	fuzz "$package" "$name" "$1" </dev/null
done <<<"$found"
