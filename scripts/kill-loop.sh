#!/bin/sh
# Kills a replay into a store, and the push to a device beside it, at any moment, and looks each time whether the store is whole; at the
# end one push that is not killed must leave device, actions and audit of one mind. The device is a feed's file, or, as root, a real
# packet filter in a network namespace of its own.
#   scripts/kill-loop.sh [TIMES] [BINARY] [feed|nftables]
set -eu
cd "$(dirname "$0")/.."
times=${1:-50}
sidetap=${2:-target/release/sidetap}
device=${3:-feed}
[ -x "$sidetap" ] || cargo build --release --locked -p sidetap
sidetap=$(realpath "$sidetap")
capture=$(realpath "${KILL_CAPTURE:-pcaps/sample.pcap.zst}")
agree=$(realpath scripts/kill-loop.py)
work=$(mktemp -d)
space=sidetap-kill-$$
trap 'rm -rf "$work"; [ "$device" != nftables ] || ip netns delete "$space" 2>/dev/null || true' EXIT
cd "$work"
printf '[store]\npath = "s.db"\n' >sidetap.toml
case $device in
nftables)
    ip netns add "$space"
    printf '[[mitigation.nftables]]\nname = "edge"\ncommand = ["ip", "netns", "exec", "%s", "nft"]\n' "$space" >>sidetap.toml
    ;;
*) printf '[[mitigation.feed]]\nname = "edge"\npath = "feed.json"\nlisten = "127.0.0.1:0"\n' >>sidetap.toml ;;
esac
now() { date +%s.%N; }
# How long each takes here, so that kills fall anywhere within it.
begun=$(now)
"$sidetap" replay --hash-key key "$capture" >/dev/null
between=$(now)
"$sidetap" mitigation push --enforce --force >/dev/null
ended=$(now)
n=0
while [ "$n" -lt "$times" ]; do
    n=$((n + 1))
    # Something to push and to take back.
    [ $((n % 2)) -eq 0 ] || "$sidetap" mitigation undo --enforce >/dev/null
    [ $((n % 2)) -eq 0 ] || "$sidetap" mitigation redo >/dev/null
    "$sidetap" replay --hash-key key "$capture" >/dev/null 2>&1 &
    replay=$!
    # Every third time the push begins near the end of the replay, when its rows are written.
    set -- $(awk -v n="$n" -v a="$begun" -v b="$between" -v c="$ended" 'BEGIN {
        srand(n); replay = b - a; push = c - b
        print n % 3 ? 0 : replay * (0.5 + 0.5 * rand()), rand() * 1.2 * push
    }')
    sleep "$1"
    "$sidetap" mitigation push --enforce --force >/dev/null 2>&1 &
    push=$!
    sleep "$2"
    kill -9 "$push" "$replay" 2>/dev/null || true
    wait "$push" "$replay" 2>/dev/null || true
    "$sidetap" store check >check.txt || { echo "kill $n: the store is not whole"; cat check.txt; exit 1; }
done
"$sidetap" replay --hash-key key "$capture" >/dev/null
"$sidetap" mitigation push --enforce --force >/dev/null
"$sidetap" mitigation status
[ "$device" != nftables ] || ip netns exec "$space" nft list table inet sidetap >on-device.txt
python3 "$agree" s.db "$([ "$device" = nftables ] && echo on-device.txt || echo feed.json)"
echo "killed $times times; the store is whole"
