#!/bin/sh
# Kills replays into a store and pushes to a device at any moment, and looks each time whether the store is whole; at the end one push
# that is not killed must leave device, actions and audit of one mind. The device is a feed's file, or, as root, a real packet filter in a
# network namespace of its own.
#   scripts/kill-loop.sh [TIMES] [BINARY] [feed|nftables]
set -eu
cd "$(dirname "$0")/.."
times=${1:-50}
sidetap=${2:-target/release/sidetap}
device=${3:-feed}
[ -x "$sidetap" ] || cargo build --release --locked -p sidetap
sidetap=$(realpath "$sidetap")
capture=$(realpath "${KILL_CAPTURE:-pcaps/sample.pcap.zst}")
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
*) printf '[[mitigation.feed]]\nname = "edge"\npath = "feed.txt"\nlisten = "127.0.0.1:0"\n' >>sidetap.toml ;;
esac
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
if [ "$device" = nftables ]; then
    ip netns exec "$space" nft list table inet sidetap >on-device.txt
    python3 - <<'PY'
import json, re, sqlite3
on = {m for m in re.findall(r'([0-9a-f.:/]+)(?: timeout \S+)? expires \S+ comment "sidetap:', open("on-device.txt").read())}
store = sqlite3.connect("file:s.db?mode=ro", uri=True)
told = {}
for (row,) in store.execute("SELECT row FROM actions ORDER BY seq"):
    a = json.loads(row)
    if a["mode"] == "enforce" and a["outcome"] == "done":
        told[a["subject"]] = a["kind"]
bare = lambda s: s.removesuffix("/32").removesuffix("/128")
said = {bare(s) for s, kind in told.items() if kind in ("add", "refresh")}
extra, missing = {bare(s) for s in on} - said, said - {bare(s) for s in on}
print(f"{len(on)} entries on the device; {len(extra)} of them without an action, {len(missing)} actions without an entry")
raise SystemExit(1 if extra or missing or not on else 0)
PY
fi
echo "killed $times times; the store is whole; what the device holds stands above"
