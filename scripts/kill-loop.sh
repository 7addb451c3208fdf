#!/bin/sh
# Kills a replay into a store, and the push to a device beside it, at any moment, and looks each time whether the store is whole; at the
# end one push that is not killed must leave device, actions and audit of one mind. The device is a feed's file, a real HAProxy, or, as
# root, a real packet filter in a network namespace of its own.
#   scripts/kill-loop.sh [TIMES] [BINARY] [feed|haproxy|nftables]
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
haproxy=
trap '[ -z "$haproxy" ] || kill "$haproxy"; rm -rf "$work"; [ "$device" != nftables ] || ip netns delete "$space" 2>/dev/null || true' EXIT
cd "$work"
printf '[store]\npath = "s.db"\n' >sidetap.toml
case $device in
nftables)
    ip netns add "$space"
    printf '[[mitigation.nftables]]\nname = "edge"\ncommand = ["ip", "netns", "exec", "%s", "nft"]\n' "$space" >>sidetap.toml
    ;;
haproxy)
    : >block.map
    cat >haproxy.cfg <<EOF
global
    stats socket $work/ha.sock mode 600 level admin
defaults
    mode http
    timeout connect 1s
    timeout client 5s
    timeout server 5s
frontend www
    bind unix@$work/www.sock
    http-request set-var(txn.st_ip) src
    http-request set-var(txn.st_block) var(txn.st_ip),map_ip($work/block.map),field(1,:)
    acl st_blocked date,sub(txn.st_block) lt 0
    http-request deny deny_status 403 if st_blocked
    http-request return status 200
EOF
    haproxy -db -f haproxy.cfg >haproxy.log 2>&1 &
    haproxy=$!
    tries=0
    until [ -S ha.sock ]; do
        tries=$((tries + 1)); [ "$tries" -lt 100 ] || { cat haproxy.log >&2; exit 1; }
        sleep 0.1
    done
    printf '[[mitigation.haproxy]]\nname = "edge"\nsocket = "%s"\nblock_map = "%s"\n' "$work/ha.sock" "$work/block.map" >>sidetap.toml
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
case $device in
nftables) ip netns exec "$space" nft list table inet sidetap >on-device.txt ;;
haproxy)
    python3 - "$work" >on-device.txt <<'EOF'
import socket, sys
admin = socket.socket(socket.AF_UNIX)
admin.connect(f"{sys.argv[1]}/ha.sock")
admin.sendall(f"show map {sys.argv[1]}/block.map\n".encode())
print("show map")
print("".join(iter(lambda: admin.recv(1 << 16).decode(), "")))
EOF
    ;;
*) cp feed.json on-device.txt ;;
esac
python3 "$agree" s.db on-device.txt
echo "killed $times times; the store is whole"
