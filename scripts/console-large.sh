#!/bin/sh
# How the console does over the findings of very much traffic: fills a store with what as many runs of the sample
# find as have that many exchanges together, asks what each page asks, and opens each page in Chromium.
#   scripts/console-large.sh [EXCHANGES [ROUNDS]]     SIDETAP_BIN: a release binary; SIDETAP_STORE: a filled store, which is then not filled
set -eu
cd "$(dirname "$0")/.."
exchanges=${1:-10000000}
rounds=${2:-20}
target=${CARGO_TARGET_DIR:-target}
sidetap=${SIDETAP_BIN:-$target/release/sidetap}
[ -x "$sidetap" ] || cargo build --release --locked -p sidetap
sidetap=$(realpath "$sidetap")
cargo build --release --locked --quiet -p sidetap-store --example fill
work=$(mktemp -d)
trap 'kill "$pid" 2>/dev/null || true; rm -rf "$work"' EXIT
pid=
store=${SIDETAP_STORE:-}
if [ -z "$store" ]; then
    store=$work/big.db
    "$sidetap" replay --json --hash-key "$work/key" --store "$work/sample.db" pcaps/sample.pcap.zst >"$work/sample.json"
    of_one=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["exchanges"]["total"])' "$work/sample.json")
    "$target/release/examples/fill" "$work/sample.db" "$store" $(((exchanges + of_one - 1) / of_one)) "$exchanges"
fi
"$sidetap" store --store "$store" reset-users >/dev/null
"$sidetap" serve --store "$store" --listen 127.0.0.1:0 2>"$work/said" &
pid=$!
n=0
until grep -q one-time "$work/said"; do
    n=$((n + 1)); [ "$n" -lt 600 ] || { cat "$work/said" >&2; exit 1; }
    sleep 0.1
done
url=$(sed -n 's/.*console: \(http[^ ]*\)\/$/\1/p' "$work/said" | head -n 1)
token=$(sed -n 's/.*one-time token: //p' "$work/said")
failed=0
python3 scripts/console-latency.py "$url" "$token" "$rounds" || failed=1
echo
node crates/console/web/tests/paint.mjs "$url" admin "correct horse battery" 9 || failed=1
sed -n 's/^VmHWM:/memory of the server at most:/p' "/proc/$pid/status"
exit "$failed"
