#!/bin/sh
# honest.sh [--clients N] [--seed N] [--dir DIR] [--bin DIR]: how many honest clients are convicted, of N (100,000 if nothing is said).
#
# Makes worlds without attackers (testkit synthesize --peaceful --situations): people in browsers and apps, an office and a carrier's NAT,
# partners, search engines and monitors, and crowds that look like attacks: an outage of sign-in, an app's release, a shared link, a breach
# notice, a till. By turns as it is, behind a CDN that is declared, and behind one that is not; each world has another seed. A client is
# what it did in one world, a day of its life. Prints who was convicted and why, and the upper bound at 95 % (Clopper and Pearson) of
# the share of honest clients that are; with the recall that a run with attackers gave, what that makes of precision at one attacker
# in a thousand. Exit status 1 where somebody was convicted.
set -eu
cd "$(dirname "$0")/.."

clients=100000 seed=1000 dir="${CARGO_TARGET_DIR:-target}/honest" bin=
while [ $# -gt 0 ]; do
  case "$1" in
    --clients) clients=$2; shift 2 ;;
    --seed) seed=$2; shift 2 ;;
    --dir) dir=$2; shift 2 ;;
    --bin) bin=$2; shift 2 ;;
    *) echo "usage: honest.sh [--clients N] [--seed N] [--dir DIR] [--bin DIR]" >&2; exit 2 ;;
  esac
done
if [ -z "$bin" ]; then
  cargo build --quiet --release --locked -p sidetap -p sidetap-testkit
  bin="${CARGO_TARGET_DIR:-target}/release"
fi
mkdir -p "$dir"
export clients seed dir bin
exec python3 - <<'PY'
import json, os, subprocess, sys

clients, seed, dir, bin = int(os.environ["clients"]), int(os.environ["seed"]), os.environ["dir"], os.environ["bin"]
sidetap, testkit = os.path.join(bin, "sidetap"), os.path.join(bin, "testkit")
capture, out = os.path.join(dir, "honest.pcap"), os.path.join(dir, "out")
EDGE = ["--trusted-proxies", "198.51.100.0/24"]
# What the world is like, what Sidetap is told, and how large: behind an edge that is not declared, clients share few addresses.
TURNS = [(["--public"], [], 8), (["--public"], [], 8), ([], [], 4), (["--behind-edge", "--public"], EDGE, 4), (["--behind-edge"], [], 4)]

seen, convicted, suspicious, requests, turn = 0, 0, 0, 0, 0
by_class = {}
while seen < clients:
    world, told, scale = TURNS[turn % len(TURNS)]
    make = [testkit, "synthesize", capture, "--seed", str(seed + turn), "--scale", str(scale), "--peaceful", "--situations", *world]
    subprocess.run(make, check=True)
    run = subprocess.run([sidetap, "replay", capture, "--out", out, "--json", *told], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if run.returncode != 0:
        sys.exit(f"honest.sh: {' '.join(make)}: sidetap ended with {run.returncode}: {run.stderr.decode()}")
    with open(os.path.join(dir, "labels.ndjson")) as f:
        labels = [json.loads(line) for line in f]
    seen += len(labels)
    requests += sum(l["n_requests"] for l in labels)
    with open(os.path.join(out, "verdicts.ndjson")) as f:
        for v in map(json.loads, f):
            if v["intent"] not in ("malicious", "suspicious"):
                continue
            convicted += v["intent"] == "malicious"
            suspicious += v["intent"] == "suspicious"
            key = (v["intent"], v["class"])
            by_class[key] = by_class.get(key, 0) + 1
            if by_class[key] <= 5:
                why = ", ".join(r["indicator"] for r in v["reasons"])
                print(f"  seed {seed + turn} {' '.join(world + told)}: {v['intent']} {v['class']} {v['subject']['value']} ({v['requests']} requests): {why}")
    turn += 1

def upper(k, n, level=0.95):
    """One-sided Clopper-Pearson bound: the p at which so few or fewer would be seen in 5 % of cases."""
    import math
    def at_most(p):
        total, term = 0.0, (1 - p) ** n
        for i in range(k + 1):
            total += term
            term *= (n - i) / (i + 1) * p / (1 - p)
        return total
    low, high = 0.0, min(1.0, (k + 10) * 3.0 / n)
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if at_most(middle) > 1 - level else (low, middle)
    return high

bound = upper(convicted, seen)
print(f"{seen:,} honest clients in {turn} worlds, {requests:,} requests: {convicted} convicted, {suspicious} suspicious")
print(f"at most {bound * 1e6:.1f} in a million are convicted (95 %)")
for recall in (0.999, 0.98):
    print(f"precision at one attacker in a thousand, recall {recall}: at least {recall * 1e-3 / (recall * 1e-3 + bound * 0.999):.4f}")
sys.exit(1 if convicted else 0)
PY
