#!/bin/sh
# latency.sh [--release] [ROUNDS [DEVICE]]: from the first packet of an attack to the verdict, and on to its effect, by device.
#
# In the scenes of crates/sidetap/tests/enforce.rs (network namespaces, a real device, `sidetap watch --enforce` on the mirror port) ROUNDS
# attacks (10 if nothing is said, 100 at most) go by one after the other, each from an address of its own, one device after the other. Prints
# the median and the 99th percentile (of fewer than 100 rounds: the worst). Needs root. DEVICE: only tests with this in their name.
# --release: with the build that users have, where a debug build is what tests have. What is not installed is left out; `just test` installs
# it. SIDETAP_LATENCY_STORE: a filled store that each watch begins with (a copy of it).
set -eu
cd "$(dirname "$0")/.."
[ "$(id -u)" -eq 0 ] || { echo "latency.sh: needs root" >&2; exit 1; }
release=
[ "${1:-}" != --release ] || { release=yes; shift; }
rounds=${1:-10}
target=${CARGO_TARGET_DIR:-target}
PATH="$PATH:/usr/sbin:/sbin"
for dir in "$target/test-venv/bin" "$target/test-crowdsec/usr/bin"; do
  [ ! -d "$dir" ] || PATH="$PATH:$(cd "$dir" && pwd)"
done
export PATH
out=$(mktemp)
trap 'rm -f "$out"' EXIT
cargo test ${release:+--release} --locked -p sidetap --test enforce --no-run
SIDETAP_LATENCY_ROUNDS=$rounds
export SIDETAP_LATENCY_ROUNDS
cargo test ${release:+--release} --quiet --locked -p sidetap --test enforce -- --nocapture --test-threads 1 "${2:-behind_}" >"$out" 2>&1 || grep -v '^LATENCY' "$out" >&2
python3 - "$out" <<'PY'
import collections, sys
rows = collections.defaultdict(list)
for line in open(sys.argv[1]):
    if not line.startswith("LATENCY"):
        continue
    _, device, _, verdict, _, effect, *_ = line.split()
    rows[device].append((int(verdict), int(effect)))
pick = lambda values, share: sorted(values)[min(len(values) - 1, int(share * len(values)))] / 1000
print("| device | rounds | packet to verdict p50 | p99 | verdict to effect p50 | p99 | packet to effect p50 | p99 |")
print("|---|---|---|---|---|---|---|---|")
for device, values in sorted(rows.items()):
    columns = [[v for v, _ in values], [max(0, e - v) for v, e in values], [e for _, e in values]]
    cells = [f"{pick(column, share):.1f} s" for column in columns for share in (0.5, 0.99)]
    print(f"| {device} | {len(values)} | " + " | ".join(cells) + " |")
PY
