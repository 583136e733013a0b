#!/usr/bin/env bash
# Runs make targets one after the other and prints how long each took.
#
#   tools/timed.sh TARGET...
set -uo pipefail
cd "$(dirname "$0")/.."

report=()
for target in "$@"; do
  started=$SECONDS
  make --no-print-directory "$target"
  code=$?
  report+=("$(printf '%-14s %4d s' "$target" $((SECONDS - started)))")
  [ "$code" -eq 0 ] || { printf '%s\n' "${report[@]}" "failed: $target" >&2; exit "$code"; }
done
printf '%s\n' "${report[@]}" >&2
