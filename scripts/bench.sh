#!/bin/sh
# bench.sh [--rounds N] [--bytes N] [--dir DIR] [--quick]: measures Sidetap beside tcpdump, httpry and tshark.
#
# Builds a release, makes two captures (5.5 KB and 0.5 KB an exchange; not committed), then runs all programs over them in one
# sitting, interleaved, several times, and writes the figures to docs/benchmarks.md. Only ratios within one run mean something:
# machines change their speed from minute to minute.
set -eu
cd "$(dirname "$0")/.."
# shellcheck source=scripts/packages.sh
. scripts/packages.sh

rounds=5 bytes=1000000000 dir="${CARGO_TARGET_DIR:-target}/bench"
while [ $# -gt 0 ]; do
  case "$1" in
    --rounds) rounds=$2; shift 2 ;;
    --bytes) bytes=$2; shift 2 ;;
    --dir) dir=$2; shift 2 ;;
    --quick) rounds=2 bytes=200000000; shift ;;
    *) echo "usage: bench.sh [--rounds N] [--bytes N] [--dir DIR] [--quick]" >&2; exit 2 ;;
  esac
done
for package in tcpdump httpry tshark python3; do
  install_packages "$package" || echo "bench.sh: goes on without $package" >&2
done
PATH="$PATH:/usr/sbin:/sbin"
export PATH

cargo build --release --locked -p sidetap -p sidetap-testkit
bin="${CARGO_TARGET_DIR:-target}/release"
mkdir -p "$dir"
make_capture() { # NAME PROFILE BYTES [OPTION...]
  stamp="$*"
  [ "$(cat "$dir/$1.made" 2>/dev/null)" = "$stamp" ] && return 0
  name=$1 profile=$2 size=$3
  shift 3
  "$bin/testkit" perf "$dir/$name.pcap" --profile "$profile" --bytes "$size" "$@"
  echo "$stamp" >"$dir/$name.made"
}
make_capture api api "$bytes"
make_capture small small "$((bytes / 2))"
# Four connections in five come from one address: no worker may have to do all of its work.
make_capture one-address api "$bytes" --one-address 0.8
# tshark takes minutes a GB: it gets a slice, and its figures are scaled.
make_capture api-slice api "$((bytes / 20))"
make_capture small-slice small "$((bytes / 40))"

commit=$(git rev-parse --short HEAD 2>/dev/null || echo unknown)
[ -z "$(git status --porcelain --untracked-files=no 2>/dev/null)" ] || commit="$commit, changed"
export rounds bytes dir bin commit
exec python3 - <<'PY'
import datetime, json, os, platform, re, shutil, statistics, subprocess, sys

rounds, dir, bin, commit = int(os.environ["rounds"]), os.environ["dir"], os.environ["bin"], os.environ["commit"]
out = os.path.join(dir, "out")

def programs(capture):
    """name, command, the capture that it reads"""
    slice = capture + "-slice"
    path = lambda name: os.path.join(dir, name + ".pcap")
    sidetap = [os.path.join(bin, "sidetap"), "replay", path(capture), "--out", out]
    fields = [x for f in ("http.request.method", "http.host", "http.request.uri", "http.response.code") for x in ("-e", f)]
    return [
        ("sidetap", sidetap, capture),
        ("sidetap, one worker", sidetap + ["--workers", "1"], capture),
        ("sidetap --no-analysis", sidetap + ["--no-analysis"], capture),
        ("httpry", ["httpry", "-q", "-r", path(capture), "-o", os.devnull], capture),
        ("tcpdump -w /dev/null", ["tcpdump", "-Z", "root", "-r", path(capture), "-w", "/dev/null"] if os.geteuid() == 0
            else ["tcpdump", "-r", path(capture), "-w", "/dev/null"], capture),
        ("tshark (a slice)", ["tshark", "-n", "-r", path(slice), "-Y", "http", "-T", "fields"] + fields, slice),
    ]

def run(command):
    """CPU seconds, wall seconds, peak resident MB; None where it failed"""
    shutil.rmtree(out, ignore_errors=True)
    started = datetime.datetime.now()
    with open(os.devnull, "w") as null, open(os.path.join(dir, "stderr.txt"), "w") as err:
        child = subprocess.Popen(command, stdout=null, stderr=err, stdin=subprocess.DEVNULL)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    wall = (datetime.datetime.now() - started).total_seconds()
    if child.returncode not in (0, 3):
        print("  %s: exit status %d: %s" % (command[0], child.returncode, open(os.path.join(dir, "stderr.txt")).read()[-300:]), file=sys.stderr)
        return None
    return usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss / 1024

def seen():
    """what Sidetap says it saw"""
    try:
        return json.load(open(os.path.join(out, "summary.json")))["exchanges"]
    except (OSError, ValueError, KeyError):
        return None

def bench(capture):
    truth = {n: json.load(open(os.path.join(dir, n + ".truth.json"))) for n in (capture, capture + "-slice")}
    rows = [p for p in programs(capture) if shutil.which(p[1][0])]
    runs, exchanges = {name: [] for name, *_ in rows}, None
    for n in range(rounds + 1):  # the first round only warms caches
        for name, command, source in rows:
            got = run(command)
            if name == "sidetap" and got:
                exchanges = seen()
            if n and got:
                runs[name].append(got)
            print("  %-22s round %d  %s" % (name, n, "%.2f CPU s, %.2f s, %.0f MB" % got if got else "failed"), file=sys.stderr)
    base = {}
    for name in ("httpry", "tcpdump -w /dev/null"):
        if runs.get(name):
            base[name] = statistics.median(r[0] for r in runs[name]) / truth[capture]["bytes"]
    lines = ["| program | CPU s a GB, best | median | exchanges a CPU s | wall s a GB | peak MB | ÷ httpry | ÷ tcpdump |", "|---|---|---|---|---|---|---|---|"]
    for name, _, source in rows:
        if not runs[name]:
            continue
        t = truth[source]
        gb = t["bytes"] / 1e9
        cpu = sorted(r[0] for r in runs[name])
        middle = statistics.median(cpu)
        ratio = lambda b: "%.2f" % (middle / t["bytes"] / base[b]) if b in base else "–"
        lines.append("| %s | %.2f | %.2f | %s | %.2f | %.0f | %s | %s |" % (
            name, cpu[0] / gb, middle / gb, "{:,.0f}".format(t["exchanges"] / middle), statistics.median(r[1] for r in runs[name]) / gb,
            max(r[2] for r in runs[name]), ratio("httpry"), ratio("tcpdump -w /dev/null")))
    t = truth[capture]
    head = "%.2f GB, %s packets, %s exchanges of %.1f KB, %s connections" % (
        t["bytes"] / 1e9, "{:,}".format(t["packets"]), "{:,}".format(t["exchanges"]), t["bytes"] / t["exchanges"] / 1000, "{:,}".format(t["connections"]))
    if exchanges:
        head += "; Sidetap saw {:,} exchanges, {:,} of them complete".format(exchanges["total"], exchanges["complete"])
    return head, lines

cpu = next((l.split(":", 1)[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), platform.processor())
version = lambda c: (subprocess.run(c, capture_output=True, text=True).stdout.splitlines() or [""])[0] if shutil.which(c[0]) else "not there"
httpry = subprocess.run(["httpry", "-h"], capture_output=True, text=True) if shutil.which("httpry") else None
found = re.search(r"httpry version ([\d.]+)", (httpry.stdout + httpry.stderr) if httpry else "")
text = ["<!-- bench.sh begins -->", "",
        "Machine: %s, %d cores, Linux %s. Commit: %s. Date: %s." % (cpu, os.cpu_count(), platform.release(), commit, datetime.date.today()),
        "Command: `scripts/bench.sh --rounds %d --bytes %s`. Beside: %s; httpry %s; %s" % (
            rounds, os.environ["bytes"], version(["tcpdump", "--version"]), found.group(1) if found else "?", version(["tshark", "--version"])), ""]
for capture, title in (("api", "5.5 KB an exchange"), ("small", "0.5 KB an exchange")):
    print(title, file=sys.stderr)
    head, lines = bench(capture)
    text += ["### " + title, "", head + ".", ""] + lines + [""]
def spread(capture):
    """CPU seconds of two workers by those of one"""
    command = lambda workers: [os.path.join(bin, "sidetap"), "replay", os.path.join(dir, capture + ".pcap"), "--out", out, "--workers", str(workers)]
    runs = {workers: [] for workers in (1, 2)}
    for n in range(rounds + 1):
        for workers in runs:
            got = run(command(workers))
            if n and got:
                runs[workers].append(got)
    if not all(runs.values()):
        return "| %s | failed | | | |" % capture
    cpu, wall = ({w: statistics.median(r[i] for r in rows) for w, rows in runs.items()} for i in (0, 1))
    return "| %s | %.2f | %.2f | %.2f | %.2f |" % (capture, cpu[1], cpu[2], cpu[2] / cpu[1], wall[1] / wall[2])

text += ["### Two workers", "", "Medians; two workers may cost 1.15 times the CPU seconds of one, also where one address sends four fifths of the traffic.", "",
         "| capture | CPU s, one worker | two | two ÷ one | faster by |", "|---|---|---|---|---|"]
text += [spread(capture) for capture in ("api", "one-address")] + [""]
text.append("<!-- bench.sh ends -->")
shutil.rmtree(out, ignore_errors=True)
page = open("docs/benchmarks.md", encoding="utf-8").read()
section = "\n".join(text)
page = re.sub(r"<!-- bench.sh begins -->.*<!-- bench.sh ends -->", lambda _: section, page, flags=re.S)
open("docs/benchmarks.md", "w", encoding="utf-8").write(page)
print(section)
PY
