#!/bin/sh
# Kills replays into a store and pushes to a device (a feed's file) at any moment, and looks each time whether the store is whole; at
# the end one push that is not killed must leave device and audit of one mind.
#   scripts/kill-loop.sh [TIMES] [BINARY]
set -eu
cd "$(dirname "$0")/.."
times=${1:-50}
sidetap=${2:-target/release/sidetap}
[ -x "$sidetap" ] || cargo build --release --locked -p sidetap
sidetap=$(realpath "$sidetap")
capture=$(realpath pcaps/sample.pcap.zst)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
printf '[store]\npath = "s.db"\n[[mitigation.feed]]\nname = "edge"\npath = "feed.txt"\nlisten = "127.0.0.1:0"\n' >sidetap.toml
"$sidetap" replay --hash-key key "$capture" >/dev/null
n=0
while [ "$n" -lt "$times" ]; do
    n=$((n + 1))
    case $((n % 3)) in
    0) set -- replay --hash-key key "$capture" ;;
    *) set -- mitigation push --enforce --force ;;
    esac
    "$sidetap" "$@" >/dev/null 2>&1 &
    pid=$!
    sleep "$(awk -v n="$n" 'BEGIN { srand(n); printf "%.3f", rand() * (n % 3 ? 0.4 : 12) }')"
    kill -9 "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
    "$sidetap" store check >check.txt || { echo "kill $n: the store is not whole"; cat check.txt; exit 1; }
    [ $((n % 3)) -ne 1 ] || "$sidetap" mitigation undo --enforce >/dev/null
done
"$sidetap" mitigation push --enforce --force >/dev/null
"$sidetap" mitigation status
echo "killed $times times; the store is whole; what the device holds stands above"
