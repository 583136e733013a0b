#!/usr/bin/env bash
# Installs the wheel of `dist/` in a bare Debian that has Python and nothing else, and runs the demo there.
#
#   tools/test_wheel.sh [FOLDER]     FOLDER: of the bare system; made if missing. Default: build/bare-debian
#
# Needs root, `debootstrap` and a package registry for pip, whose configuration it takes from this system.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$(realpath -m "${1:-build/bare-debian}")
release=bookworm

[ "$(id -u)" -eq 0 ] || { printf 'error: needs root, for chroot\n\nhint: sudo make test-wheel\n' >&2; exit 1; }
wheel=$(ls dist/geojepa-*.whl 2>/dev/null) || { printf 'error: no wheel in `dist/`\n\nhint: make wheel\n' >&2; exit 1; }
command -v debootstrap >/dev/null || apt-get install -y -qq debootstrap

if [ ! -x "$root/usr/bin/python3" ]; then
  debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates "$release" "$root" >"$root.log" 2>&1 ||
    { tail -20 "$root.log" >&2; exit 1; }
fi
cp /etc/resolv.conf "$root/etc/resolv.conf"
[ -f /etc/pip.conf ] && cp /etc/pip.conf "$root/etc/pip.conf"
[ -d /etc/ssl/certs ] && cp -rL /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
rm -rf --one-file-system "$root/test"
mkdir -p "$root/test"
cp "$wheel" "$root/test/"

# No bind mounts: removing the folder can then never reach outside of it.
mounted=no
trap '[ "$mounted" = yes ] && umount "$root/proc"' EXIT
mount -t proc proc "$root/proc" && mounted=yes
chroot "$root" /usr/bin/env -i PATH=/usr/bin:/bin HOME=/root LANG=C.UTF-8 PIP_DEFAULT_TIMEOUT="${PIP_DEFAULT_TIMEOUT:-60}" \
  bash -euo pipefail -c '
    cd /test
    python3 -m venv env
    set -x
    env/bin/pip install -q --disable-pip-version-check "$(ls /test/geojepa-*.whl)[text]"
    env/bin/geojepa doctor
    env/bin/geojepa demo --size small
    env/bin/geojepa probe --task max_speed --json | head -c 300
    env/bin/geojepa knn --tile 16_18052_25957
    env/bin/geojepa explore --no-open --json >explore.json & server=$!
    for _ in $(seq 120); do [ -s explore.json ] && break; sleep 1; done
    env/bin/python - <<"EOF"
import json, urllib.error, urllib.request
url = json.load(open("explore.json"))["result"]["url"]
page = urllib.request.urlopen(url, timeout=30).read()
assert b"<title>" in page, page[:200]
assert urllib.request.urlopen(url + "vendor/maplibre-gl-csp.js", timeout=30).status == 200
assert json.load(urllib.request.urlopen(url + "api/about", timeout=30))["tiles"] > 0
try:
    urllib.request.urlopen(url.rsplit("/", 2)[0] + "/", timeout=30)
    raise SystemExit("the page came without the token")
except urllib.error.HTTPError as error:
    assert error.code == 403, error
EOF
    kill "$server"
    wait "$server"'
