#!/bin/sh
# demo.sh [FILE...]: builds Sidetap and analyses captures (without a name the sample in pcaps/), prints the report, shows the page.
# From a fresh Debian with Rust to the report in one command. SIDETAP_DEMO_OUT names the directory for the results.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
start=$(pwd)
# shellcheck source=scripts/packages.sh
. "$here/scripts/packages.sh"

say() { printf '\n== %s\n' "$*"; }

if ! command -v cargo >/dev/null; then
  [ -x "$HOME/.cargo/bin/cargo" ] && PATH="$HOME/.cargo/bin:$PATH" || {
    echo "demo.sh: no Rust here; install it from https://rustup.rs and run this again" >&2
    exit 1
  }
fi

say "System packages"
if ! install_packages build-essential libpcap-dev; then
  echo "going on without them; the build fails if a C compiler or libpcap is not there" >&2
fi

say "Pages of the console"
"$here/scripts/console.sh" build || echo "going on without them; the console shows where they are to be had" >&2

say "Build (the first time takes some minutes)"
(cd "$here" && cargo build --release --locked --bin sidetap)
sidetap="${CARGO_TARGET_DIR:-$here/target}/release/sidetap"

out="${SIDETAP_DEMO_OUT:-$here/out/demo}"
mkdir -p "$out"
if [ $# -eq 0 ]; then
  set -- "$here/pcaps/sample.pcap.zst"
fi

rm -f "$out/sidetap.db" "$out/sidetap.db-wal" "$out/sidetap.db-shm"
say "sidetap replay $* --out $out"
status=0
(cd "$start" && "$sidetap" replay "$@" --out "$out" --exchanges --store "$out/sidetap.db" --hash-key "$out/hash.key") || status=$?
# 3: done, but something of the input was lost; the report says what.
[ "$status" -eq 0 ] || [ "$status" -eq 3 ] || exit "$status"

page="$out/report.html"
say "The page"
echo "file://$(cd "$out" && pwd)/report.html"
say "The console"
echo "$sidetap serve --store $out/sidetap.db --hash-key $out/hash.key"
if [ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ] && command -v xdg-open >/dev/null; then
  xdg-open "$page" >/dev/null 2>&1 || true
fi
exit "$status"
