#!/bin/sh
# demo.sh [FILE...]: builds Sidetap and analyses captures (without a name the sample in pcaps/), prints the report, opens the console.
# From a fresh Debian with Rust to the report and the console in one command; the console is only served where there is a terminal, and
# not with SIDETAP_DEMO_CONSOLE=no. SIDETAP_DEMO_OUT names the directory for the results.
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
console=http://127.0.0.1:8642/
has_desktop() { [ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ] && command -v xdg-open >/dev/null; }
if [ -t 0 ] && [ -t 1 ] && [ "${SIDETAP_DEMO_CONSOLE:-}" != no ]; then
  # The first page asks for the token that it prints.
  echo "(Ctrl-C ends it)"
  if has_desktop; then
    (sleep 1; xdg-open "$console" >/dev/null 2>&1 || true) &
  fi
  # Ctrl-C is for the console; how the replay went is still said.
  trap : INT
  "$sidetap" serve --store "$out/sidetap.db" --hash-key "$out/hash.key" --listen 127.0.0.1:8642 || status=$?
elif has_desktop; then
  xdg-open "$page" >/dev/null 2>&1 || true
fi
exit "$status"
