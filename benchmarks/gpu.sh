#!/usr/bin/env bash
# Tests, measures and trains on a machine with one NVIDIA GPU that has PyTorch 2.11 or later and nothing else to offer:
# no compiler for the native binary, no package registry, no workspace. Takes less than nine minutes.
#
#   benchmarks/gpu.sh FOLDER OUT [MINUTES]
#
# FOLDER holds what travels (less than 64 MiB), and is made on a machine with the workspace:
#   store.tar.xz  python benchmarks/gpu_pack.py pack --workspace workspace --out FOLDER/store.tar.xz --without REGION
#   whl/          python -m pip download --no-deps --only-binary=:all: --python-version 3.12 -d FOLDER/whl \
#                   --platform manylinux_2_17_x86_64 pydantic pydantic-core annotated-types typing-inspection
#   fonts/        fonts of the packages in geometry.yaml; digits are enough (fonttools subset --text=0123456789)
# OUT receives the logs, the figures as JSON, and the weights of the trained models. MINUTES is the time of training.
set -uo pipefail
folder=$(realpath "$1") out=$(realpath "$2") minutes=${3:-4.5}
cd "$(dirname "$0")/.."
work=$(mktemp -d)
export PYTHONUNBUFFERED=1 PYTHONPATH="$work/site:$PWD:$PWD/tests"
started=$(date +%s)
say() { echo "== $(($(date +%s) - started)) s: $*"; }

nvidia-smi --query-gpu=name,memory.total --format=csv,noheader
python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --target "$work/site" "$folder"/whl/*.whl || exit 1
python3 benchmarks/gpu_pack.py unpack --file "$folder/store.tar.xz" --out "$work/store" &
unpacking=$!

say "tests of the GPU paths"
timeout 90 python3 -m pytest -q -p no:cacheprovider --noconftest -c /dev/null --rootdir=. -W ignore \
  tests/unit/test_train_cuda.py tests/unit/test_nn_attention.py >"$out/tests.log" 2>&1
tail -4 "$out/tests.log"
wait $unpacking || exit 1
# geometry vectors, while the speed is measured on the GPU
python3 -W ignore benchmarks/gpu_train.py --store "$work/store" --config small.yaml --threads 8 --device cpu \
  --out "$work/untrained" --set 'model.modalities=[tags, geometry]' --set train.epochs=null --set train.max_steps=0 >"$work/geometry_vectors.log" 2>&1 &
vectors=$!

speed() { # speed NAME OPTIONS
  local name=$1
  shift
  timeout 75 python3 -W ignore benchmarks/train.py --store "$work/store" --device cuda --threads 8 --warmup 8 --steps 6 \
    --seconds 4 --set train.precision=bfloat16 --set train.accumulation=1 --set train.compile=true "$@" \
    >"$out/$name.json" 2>"$work/$name.err" || tail -3 "$work/$name.err"
  say "$name: $(tr -d '\n' <"$out/$name.json" | cut -c 1-420)"
}
speed paper-t --config paper-t.yaml --set train.batch_tokens=131072 --set data.min_entities=20
speed t --config t.yaml --set train.batch_tokens=131072 --set data.min_entities=20 --set model.shared_context=true
wait $vectors || tail -3 "$work/geometry_vectors.log"

say "training for $minutes minutes"
fast=(--set train.precision=bfloat16 --set train.epochs=null --set "train.max_minutes=$minutes")
fast+=(--set train.monitor_every=100)
python3 -W ignore benchmarks/gpu_train.py --store "$work/store" --config small.yaml --threads 4 --out "$out/small" \
  --set train.compile=true "${fast[@]}" >"$work/small.log" 2>&1 &
python3 -W ignore benchmarks/gpu_train.py --store "$work/store" --config small.yaml --threads 4 --out "$out/small-gt" \
  --set 'model.modalities=[tags, geometry]' "${fast[@]}" >"$work/small-gt.log" 2>&1 &
if [ -d "$folder/fonts" ]; then
  python3 -W ignore -m geojepa_cli --workspace "$work/workspace" pretrain --config geometry.yaml --device cuda \
    --threads 6 --set train.monitor_every=500 --set "glyphs.folder=$folder/fonts" --set train.epochs=null --set "train.max_minutes=$minutes" \
    >"$work/geometry.log" 2>&1 && mkdir -p "$out/geometry" &&
    cp "$work"/workspace/models/geometry@*/{weights.safetensors,metrics.jsonl,model_card.md} "$out/geometry/"
fi &
wait
for name in small small-gt geometry; do
  say "$name: $(tail -1 "$work/$name.log" | cut -c 1-600)"
done
say "end"
