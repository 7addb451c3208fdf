#!/bin/sh
# clients.sh [--clients N] [--limit BYTES] [--bin DIR]: what so many clients known at the same time take of memory (a million if nothing is said).
#
# Makes a capture of N clients, one to three exchanges each, 4,000 new ones a second (testkit perf --profile crowd), replays it and prints how
# many clients were known at the end, how many were given up for the cap, and the greatest resident memory of the whole process. Exit status 1
# where clients were given up or more than BYTES (2 GB) were taken.
set -eu
cd "$(dirname "$0")/.."

clients=1000000 limit=2000000000 bin= dir="${CARGO_TARGET_DIR:-target}/clients"
while [ $# -gt 0 ]; do
  case "$1" in
    --clients) clients=$2; shift 2 ;;
    --limit) limit=$2; shift 2 ;;
    --bin) bin=$2; shift 2 ;;
    *) echo "usage: clients.sh [--clients N] [--limit BYTES] [--bin DIR]" >&2; exit 2 ;;
  esac
done
if [ -z "$bin" ]; then
  cargo build --quiet --release --locked -p sidetap -p sidetap-testkit
  bin="${CARGO_TARGET_DIR:-target}/release"
fi
mkdir -p "$dir"
"$bin/testkit" perf "$dir/crowd.pcap" --profile crowd --clients "$clients" --bytes 1000000000000 > "$dir/truth.json"
"$bin/sidetap" replay "$dir/crowd.pcap" --workers 1 --memory-limit 10G --hash-key "$dir/key" --out "$dir/out" > /dev/null
rm -f "$dir/crowd.pcap"
python3 - "$dir" "$clients" "$limit" <<'P'
import json, sys
dir, clients, limit = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
summary = json.load(open(f"{dir}/out/summary.json"))
def find(node, name):
    if isinstance(node, dict):
        for key, value in node.items():
            if key == name:
                return value
            found = find(value, name)
            if found is not None:
                return found
peak = summary["peak_rss_bytes"]
gone = find(summary, "bots-clients") or 0
print(f"{clients:,} clients, {summary['exchanges']['total']:,} exchanges, {summary['wall_ms'] / 1000:.0f} s: "
      f"{gone:,} clients given up, peak resident memory {peak / 2**20:,.0f} MiB ({peak / clients:.0f} bytes a client)")
sys.exit(1 if gone or peak > limit else 0)
P
