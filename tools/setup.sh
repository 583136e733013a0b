#!/usr/bin/env bash
# Installs everything that `make demo` and, with --test, `make test` need: missing Debian packages, `.venv`, and the
# built package. Safe to repeat: each step first checks whether there is anything to do.
#
#   tools/setup.sh [--test]     --test: also the tools of the gate, the native tests, and a browser
set -euo pipefail
cd "$(dirname "$0")/.."
mode=${1:-}

build_packages=(g++ cmake ninja-build libosmium2-dev libprotozero-dev libgeos-dev libhdf5-dev libaec-dev libcli11-dev
  zlib1g-dev libbz2-dev libexpat1-dev python3-venv python3-dev ca-certificates)
test_packages=(doctest-dev clang clang-format clang-tidy libclang-rt-14-dev osmium-tool gdal-bin valgrind chromium
  fonts-dejavu-core)

export PIP_DISABLE_PIP_VERSION_CHECK=1

install_debian_packages() {
  local missing=() package
  for package in "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return
  local sudo=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || {
      printf 'error: missing Debian packages, and neither root nor sudo\n\nhint: apt-get install %s\n' "${missing[*]}" >&2
      exit 1
    }
    sudo=(sudo)
  fi
  echo "installing Debian packages: ${missing[*]}" >&2
  "${sudo[@]}" apt-get update -qq
  DEBIAN_FRONTEND=noninteractive "${sudo[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

find_python() {
  local candidate
  for candidate in python3.11 python3 python3.12 python3.13; do
    if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  printf 'error: no Python 3.11 or newer\n\nhint: apt-get install python3 python3-venv\n' >&2
  exit 1
}

# The packages of the tests are installed while pip works.
tests_installed=
if command -v apt-get >/dev/null; then
  command -v npm >/dev/null || test_packages+=(npm)
  install_debian_packages "${build_packages[@]}"
  if [ "$mode" = "--test" ]; then
    install_debian_packages "${test_packages[@]}" &
    tests_installed=$!
  fi
fi

if ! .venv/bin/python -c '' 2>/dev/null; then
  rm -rf .venv
  "$(find_python)" -m venv .venv
fi

# Dependencies are installed again only when their list changes, the package when one of its files does.
stamp() { cat "$@" | sha256sum | cut -c1-16; }
wanted=$(stamp pyproject.toml constraints.txt)
if [ "$(cat .venv/dependencies.stamp 2>/dev/null)" != "$wanted" ]; then
  echo "installing Python packages" >&2
  # Python compiles modules when they are first imported. Most modules of these packages never are.
  .venv/bin/python -m pip install -q --no-compile -c constraints.txt scikit-build-core pyyaml
  # shellcheck disable=SC2046
  .venv/bin/python -m pip install -q --no-compile -c constraints.txt $(.venv/bin/python tools/requirements.py)
  echo "$wanted" >.venv/dependencies.stamp
fi
[ -z "$tests_installed" ] || wait "$tests_installed"
# The map library of `geojepa explore` comes from the npm registry, as does axe-core, which checks pages in tests. The
# demo does not need them.
if [ "$mode" = "--test" ]; then
  .venv/bin/python tools/npm_files.py maplibre-gl
  .venv/bin/python tools/npm_files.py axe-core
  # A location encoder with its weights, to compare with. Its requirements are not needed, and conflict with ours.
  .venv/bin/python -c 'import sys; from importlib.util import find_spec; sys.exit(find_spec("geoclip") is None)' ||
    .venv/bin/python -m pip install -q --no-compile --no-deps geoclip==1.3.0
elif command -v npm >/dev/null; then
  .venv/bin/python tools/npm_files.py maplibre-gl || echo 'without the map library, `geojepa explore` does not work' >&2
fi
sources=$(find native geojepa_cli tasks pyproject.toml README.md -type f -not -name '*.pyc' | LC_ALL=C sort)
# shellcheck disable=SC2086
wanted=$(stamp $sources)$(echo "$sources" | sha256sum | cut -c1-16)
built=$(cat .venv/package.stamp 2>/dev/null || true)
# A build with tests serves the demo too.
if [ "$built" != "$wanted --test" ] && { [ "$mode" = "--test" ] || [ "$built" != "$wanted" ]; }; then
  echo "building and installing geojepa" >&2
  .venv/bin/python -m pip install -q --no-deps --no-build-isolation --force-reinstall \
    --config-settings build-dir=build/native --config-settings cmake.define.GEOJEPA_WERROR=ON \
    --config-settings cmake.define.GEOJEPA_BUILD_TESTS=$([ "$mode" = "--test" ] && echo ON || echo OFF) .
  echo "$wanted${mode:+ $mode}" >.venv/package.stamp
fi
