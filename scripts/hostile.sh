#!/bin/sh
# hostile.sh [--memory-limit SIZE] [--workers N] [--dir DIR] [--bin DIR] [KIND...] [-- OPTION...]: what traffic against the sensor itself costs it.
#
# Builds a release (or takes the programs in --bin), writes a capture of each kind (testkit hostile --list), analyses it, and prints a table: packets, seconds,
# peak resident memory beside the limit, and what was refused, by the counters of summary.json. Fails where a run ends otherwise than well,
# goes over the limit, or loses count. What follows `--` goes to `sidetap replay` as it is: `-- --exchanges`.
set -eu
cd "$(dirname "$0")/.."

limit=256M workers=2 dir="${CARGO_TARGET_DIR:-target}/hostile" bin= kinds= more=
while [ $# -gt 0 ]; do
  case "$1" in
    --memory-limit) limit=$2; shift 2 ;;
    --workers) workers=$2; shift 2 ;;
    --dir) dir=$2; shift 2 ;;
    --bin) bin=$2; shift 2 ;;
    --) shift; more=$*; break ;;
    -*) echo "usage: hostile.sh [--memory-limit SIZE] [--workers N] [--dir DIR] [--bin DIR] [KIND...] [-- OPTION...]" >&2; exit 2 ;;
    *) kinds="$kinds $1"; shift ;;
  esac
done
if [ -z "$bin" ]; then
  cargo build --quiet --release --locked -p sidetap -p sidetap-testkit
  bin="${CARGO_TARGET_DIR:-target}/release"
fi
[ -n "$kinds" ] || kinds=$("$bin/testkit" hostile --list)
mkdir -p "$dir"
export limit workers dir bin kinds more
exec python3 - <<'PY'
import datetime, json, os, shutil, statistics, subprocess, sys, time

limit, workers, dir, bin = (os.environ[k] for k in ("limit", "workers", "dir", "bin"))
always = os.environ["more"].split()
units = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
bound = (int(limit[:-1]) * units[limit[-1]] if limit[-1] in units else int(limit))
sidetap, testkit = os.path.join(bin, "sidetap"), os.path.join(bin, "testkit")
out, capture = os.path.join(dir, "out"), os.path.join(dir, "hostile.pcap")
sample = "pcaps/sample.pcap.zst"

def run(inputs, limit=limit):
    """summary, seconds, CPU seconds, peak resident bytes"""
    shutil.rmtree(out, ignore_errors=True)
    command = [sidetap, "replay", *inputs, "--out", out, "--hash-key", os.path.join(dir, "key"), "--memory-limit", limit, "--workers", workers, *always]
    began = time.monotonic()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    error = child.stderr.read().decode("utf-8", "replace")
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        return None, "ended with %d: %s" % (child.returncode, error[-300:])
    summary = json.load(open(os.path.join(out, "summary.json")))
    return (summary, time.monotonic() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024), None

def unbalanced(s):
    total = lambda m: sum(m.values())
    p, b, e = s["packets"], s["streams"], s["exchanges"]
    return [w for w, bad in (("packets", p["total"] != p["decoded"] + total(p["dropped"])),
        ("stream bytes", b["bytes"] != b["delivered"] + total(b["discarded"])),
        ("exchanges", e["total"] != e["complete"] + e["incomplete"])) if bad]

def refusals(s):
    rows = {"evicted " + k: n for k, n in s.get("evictions", {}).items()}
    rows.update({"dropped " + k: n for k, n in s["packets"]["dropped"].items()})
    rows.update({"discarded " + k: n for k, n in s["streams"]["discarded"].items()})
    rows.update({k: n for k, n in s["anomalies"].items()})
    rows.update({"gap bytes": s["streams"]["gap_bytes"]} if s["streams"]["gap_bytes"] else {})
    rows.update({"incomplete " + k: n for k, n in s["exchanges"]["incomplete_reasons"].items()})
    rows = sorted(rows.items(), key=lambda r: (-r[1], r[0]))
    return "; ".join("%s %s" % (k, "{:,}".format(n)) for k, n in rows[:6]) or "nothing"

def verdicts():
    rows = [json.loads(l) for l in open(os.path.join(out, "verdicts.ndjson"))]
    when = lambda r: datetime.datetime.fromisoformat(r["detected_at"].replace("Z", "+00:00"))
    return {json.dumps(r["subject"], sort_keys=True): when(r) for r in rows if r["intent"] == "malicious"}

def compared(before, now):
    """(verdicts missing, those more than two seconds later, words of it)"""
    late = [(now[s] - at).total_seconds() for s, at in before.items() if s in now]
    missing, later = len(before) - len(late), sum(l > 2 for l in late)
    words = "%d of %d verdicts missing, %d more than 2 s later, %d as much earlier, the median %+.1f s; "
    return missing, later, words % (missing, len(before), later, sum(l < -2 for l in late), statistics.median(late))

def waiting():
    """what the drip does to the verdicts of the sample beside it: (words, whether they wait for it)"""
    if run([sample])[1]:
        return "the sample alone failed", True
    alone = verdicts()
    # 50,000 more clients are another background, from which campaigns stand out some seconds earlier or later: no wait. That is seen
    # beside a run with room for all of them.
    if run([sample, capture], "4G")[1]:
        return "beside the sample, with much memory: failed", True
    roomy = verdicts()
    beside, error = run([sample, capture])
    if error:
        return "beside the sample: " + error, True
    now = verdicts()
    missing, later, words = compared(roomy, now)
    words = "beside the sample, against 4G: " + words + "against the sample alone: " + compared(alone, now)[2]
    return words + refusals(beside[0]), missing * 100 > len(roomy) or later * 50 > len(roomy)

failed = False
print("| kind | packets | seconds | CPU s | peak MB of %d | exchanges | refused, most first |\n|---|---|---|---|---|---|---|" % (bound >> 20))
for kind in os.environ["kinds"].split():
    subprocess.run([testkit, "hostile", kind, capture], check=True)
    size = os.path.getsize(capture)
    got, error = run([capture])
    notes = []
    if kind == "slow-drip" and got:
        words, waits = waiting()
        notes.append(words)
        failed |= waits
    if error:
        print("| %s | | | | | | **%s** |" % (kind, error.strip().replace("\n", " ")), flush=True)
        failed = True
        continue
    s, wall, cpu, peak = got
    bad = unbalanced(s)
    notes += ["**%s do not add up**" % w for w in bad] + (["**over the bound**"] if peak > bound else [])
    failed |= bool(bad) or peak > bound
    print("| %s (%d MB) | %s | %.1f | %.1f | %d | %s | %s |" % (kind, size >> 20, "{:,}".format(s["packets"]["total"]), wall, cpu, peak >> 20,
        "{:,}".format(s["exchanges"]["total"]), "; ".join(notes + [refusals(s)])), flush=True)
shutil.rmtree(out, ignore_errors=True)
if os.path.exists(capture):
    os.remove(capture)
sys.exit(1 if failed else 0)
PY
