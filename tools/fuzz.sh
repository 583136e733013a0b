#!/usr/bin/env bash
# Fuzzes the reader and the clipper of the native binary with libFuzzer, ASan and UBSan. What they find is kept in
# build/fuzz/found; inputs that reached new code, in build/fuzz/corpus. A short run without clang, as `make test` has
# it: native/fuzz/replay.cpp.
#
#   tools/fuzz.sh [SECONDS]     for each target; default 600
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-600}
folder=build/fuzz

command -v clang++ >/dev/null || {
  printf 'error: no clang++\n\nhint: make setup\n' >&2
  exit 1
}
cmake -S native -B $folder -G Ninja -DCMAKE_C_COMPILER=clang -DCMAKE_CXX_COMPILER=clang++ -DGEOJEPA_FUZZ=ON \
  -DGEOJEPA_BUILD_TESTS=OFF >/dev/null
cmake --build $folder --target fuzz-reader fuzz-clipper >&2

mkdir -p $folder/corpus/reader $folder/corpus/clipper $folder/found
for target in reader clipper; do
  cp native/fuzz/seeds/$target/* "$folder/corpus/$target/"
  echo "fuzzing the $target for $seconds s" >&2
  UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 "$folder/fuzz-$target" -max_total_time="$seconds" -max_len=16384 \
    -timeout=20 -rss_limit_mb=4096 -print_final_stats=1 -artifact_prefix="$folder/found/$target-" \
    "$folder/corpus/$target" 2>"$folder/$target.log" || {
    tail -n 60 "$folder/$target.log" >&2
    echo "error: the $target failed; inputs are in $folder/found" >&2
    exit 1
  }
  grep -E 'stat::number_of_executed_units|stat::new_units_added' "$folder/$target.log"
done
