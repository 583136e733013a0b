#!/usr/bin/env bash
# Tests, measures and trains on a machine with one NVIDIA GPU that has PyTorch 2.11 or later and nothing else to offer:
# no compiler for the native binary, no package registry, no workspace. Takes less than nine minutes.
#
#   benchmarks/gpu.sh FOLDER OUT [MINUTES] [DEVICE]
#
# FOLDER holds what travels (less than 64 MiB), and is made on a machine with the workspace:
#   store.tar.xz  python benchmarks/gpu_pack.py pack --workspace workspace --out FOLDER/store.tar.xz --without REGION
#   whl/          python -m pip download --no-deps --only-binary=:all: --python-version 3.12 -d FOLDER/whl \
#                   --platform manylinux_2_17_x86_64 pydantic pydantic-core annotated-types typing-inspection
#   fonts/        fonts of the packages in geometry.yaml; digits are enough (fonttools subset --text=0123456789)
# OUT receives the logs, the figures as JSON, and the weights of the trained models. MINUTES is the time in which the
# presets `t` and `gt` are trained at full size, at the same time. DEVICE is cuda or, for a dry run on a machine without
# a GPU, cpu: models and batches are then small, and whl/ may be missing if the packages are installed.
set -uo pipefail
folder=$(realpath "$1") out=$(realpath "$2") minutes=${3:-4.5} device=${4:-cuda}
cd "$(dirname "$0")/.."
work=$(mktemp -d)
export PYTHONUNBUFFERED=1 PYTHONPATH="$work/site:$PWD:$PWD/tests"
started=$(date +%s)
say() { echo "== $(($(date +%s) - started)) s: $*"; }

full=(--set train.precision=bfloat16 --set train.accumulation=1 --set train.compile=true)
step=(--set train.batch_tokens=131072 --set data.min_entities=20) batch=(--set train.batch_tokens=65536)
limit=75 # seconds of each measurement
if [ "$device" = cpu ]; then
  full=(--set model.embed_dim=64 --set model.depth=1 --set model.predictor_depth=1 --set train.accumulation=1)
  step=(--set train.batch_tokens=1024) batch=("${step[@]}") limit=300
else
  nvidia-smi --query-gpu=name,memory.total --format=csv,noheader
fi
if [ -d "$folder/whl" ] || [ "$device" != cpu ]; then
  python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --target "$work/site" "$folder"/whl/*.whl || exit 1
fi
python3 benchmarks/gpu_pack.py unpack --file "$folder/store.tar.xz" --out "$work/store" &
unpacking=$!

say "tests of the GPU paths"
timeout 90 python3 -m pytest -q -p no:cacheprovider --noconftest -c /dev/null --rootdir=. -W ignore \
  tests/unit/test_train_cuda.py tests/unit/test_nn_attention.py >"$out/tests.log" 2>&1
tail -4 "$out/tests.log"
wait $unpacking || exit 1
# geometry vectors, while the speed is measured on the GPU
python3 -W ignore benchmarks/gpu_train.py --store "$work/store" --config gt.yaml --threads 8 --device cpu \
  --out "$work/untrained" --set train.epochs=null --set train.max_steps=0 >"$work/geometry_vectors.log" 2>&1 &
vectors=$!

speed() { # speed NAME OPTIONS
  local name=$1
  shift
  timeout $limit python3 -W ignore benchmarks/train.py --store "$work/store" --device "$device" --threads 8 --warmup 8 \
    --steps 6 --seconds 4 "${full[@]}" "${step[@]}" "$@" >"$out/$name.json" 2>"$work/$name.err" ||
    tail -3 "$work/$name.err"
  say "$name: $(tr -d '\n' <"$out/$name.json" | cut -c 1-420)"
}
speed paper-t --config paper-t.yaml
speed t --config t.yaml
wait $vectors || tail -3 "$work/geometry_vectors.log"

say "training for $minutes minutes"
limits=(--set train.epochs=null --set train.max_steps=null --set "train.max_minutes=$minutes")
for name in t gt; do
  python3 -W ignore benchmarks/gpu_train.py --store "$work/store" --config $name.yaml --device "$device" --threads 4 \
    --out "$out/$name" "${full[@]}" "${batch[@]}" "${limits[@]}" --set train.checkpoint_every=500 --set train.log_every=20 \
    --set train.monitor_every=100 >"$work/$name.log" 2>&1 &
done
if [ -d "$folder/fonts" ]; then
  python3 -W ignore -m geojepa_cli --workspace "$work/workspace" pretrain --config geometry.yaml --device "$device" \
    --threads 6 --set train.monitor_every=500 --set "glyphs.folder=$folder/fonts" "${limits[@]}" \
    >"$work/geometry.log" 2>&1 && mkdir -p "$out/geometry" &&
    cp "$work"/workspace/models/geometry@*/{weights.safetensors,metrics.jsonl,model_card.md} "$out/geometry/"
fi &
wait
for name in t gt geometry; do
  [ -f "$work/$name.log" ] || continue # without fonts, no geometry encoder is trained
  cp "$work/$name.log" "$out/$name.log"
  say "$name: $(tail -1 "$work/$name.log" | cut -c 1-600)"
done
say "end"
