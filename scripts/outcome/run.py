"""run.py SIDETAP PAGES DIR WARM SECONDS [ROW...]: what four attacks achieve against a shop, by what stands before it. See scripts/outcome.sh."""
import json, pathlib, shutil, signal, sys, time

from attacks import NETWORKS
from stage import HERE, SERVER, Site, envoy, haproxy, nginx

ROWS = ["none", "addresses", "haproxy", "nginx", "envoy"]
DEVICES = {"nginx": nginx, "envoy": envoy}
TITLES = {
    "none": "no enforcement",
    "addresses": "addresses (HAProxy)",
    "haproxy": "fingerprints (HAProxy)",
    "nginx": "fingerprints (nginx)",
    "envoy": "fingerprints (Envoy)",
}
TAKES = {"stuffing": ("account", "accounts"), "enumeration": ("id", "ids"), "scraping": ("page", "pages"), "hype-sale": ("stock", "stock")}
# Who calls by contract is named, as docs/policy.md has it.
PARTIES = ['[[partners]]', 'name = "carrier"', 'networks = ["20.0.202.7/32"]', '[[monitors]]', 'name = "uptime"', 'networks = ["20.0.203.9/32"]']
POLICY = "version: 1\nrevision: outcome\nextends: [account-protection, scraping, hype-sale]\nrules: []\n"


def lines(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.endswith("\n")]


def play(row, sidetap, pages, dir, warm, seconds):
    """One round: warm-up with the honest alone, then all attacks beside them."""
    shutil.rmtree(dir, ignore_errors=True)
    with Site(dir, pages, DEVICES.get(row, haproxy)) as site:
        config = site.config
        if row == "addresses":
            config = [line for line in config if not line.startswith(("keys_map", "places_map", "nets_map"))]
        config += PARTIES
        (dir / "policy.yaml").write_text(POLICY)
        (dir / "sidetap.toml").write_text("\n".join(['[policy]\npath = "policy.yaml"', *config]) + "\n")
        args = ["--out", "run", "--hash-key", "key", "--store", "db/store.db", "--listen", "127.0.0.1:0"]
        watch = site.watch(sidetap, *args, *([] if row == "none" else ["--enforce"]))
        begin = time.time() + warm
        honest = site.people(warm + seconds)
        time.sleep(max(0, begin - time.time()))
        site.start("a", "attacks.err", sys.executable, HERE / "attacks.py", SERVER, seconds, dir / "attacks.log").wait()
        honest.wait()
        watch.send_signal(signal.SIGTERM)
        if watch.wait() not in (0, 3):
            sys.exit(f"outcome: the sensor failed: {dir / 'watch.log'}")
        return begin


def read(dir, begin):
    """Of each attack: when it was first refused, and when it took what; of the honest: requests and refusals."""
    asked, people = lines(dir / "attacks.log"), lines(dir / "people.log")
    shop = lines(dir / "shop.log")
    result = {"attacks": {}, "honest": len(people), "refused": [p for p in people if not p["app"]]}
    for attack, (kind, _) in TAKES.items():
        own = [a for a in asked if a["attack"] == attack]
        refused = [a["t"] - begin for a in own if a["status"] and not a["app"]]
        network = [f"20.{NETWORKS[attack] + n}." for n in range(16)]
        had = [s for s in shop if s["had"] and s["had"][0] == kind and (s["ip"] or "").startswith(tuple(network))]
        result["attacks"][attack] = {
            "asked": len(own),
            "refused": len(refused),
            "effect": min(refused, default=None),
            "had": [s["t"] - begin for s in had],
        }
    verdicts = lines(dir / "run" / "verdicts.ndjson")
    hit = [v for v in verdicts if v["intent"] == "malicious" and any(ip.startswith("20.0.") for ip in v["client_ips"])]
    result["convicted"] = [(v["class"], v["subject"]["value"], v["response"]) for v in hit]
    return result


def table(results, seconds):
    """As markdown: in all, and after the first refusal against the same time without enforcement."""
    base = results.get("none")
    print(f"\n| attack | before it | taken in {seconds} s | first refused after | taken after that | without enforcement | fall |")
    print("|---|---|---|---|---|---|---|")
    good = True
    for attack, (_, word) in TAKES.items():
        for row, result in results.items():
            a = result["attacks"][attack]
            cells = [f"{len(a['had']):,} {word}", "never", "", "", ""]
            if a["effect"] is not None:
                after = sum(t > a["effect"] for t in a["had"])
                cells[1:3] = [f"{a['effect']:.1f} s", f"{after:,}"]
                if base and row != "none":
                    would = sum(t > a["effect"] for t in base["attacks"][attack]["had"])
                    fall = 1 - after / would if would else 0
                    cells[3:] = [f"{would:,}", f"{fall:.1%}".replace("%", " %")]
                    good &= fall >= 0.95 or row in ("addresses",)
            elif row not in ("none", "addresses"):
                good = False
            print(f"| {attack} | {TITLES[row]} | " + " | ".join(cells) + " |")
    print("\n| before it | honest requests | refused | honest convicted |")
    print("|---|---|---|---|")
    for row, result in results.items():
        print(f"| {TITLES[row]} | {result['honest']:,} | {len(result['refused'])} | {len(result['convicted'])} |")
        good &= not result["refused"]
        for line in result["refused"][:5] + result["convicted"][:5]:
            print(f"  {line}", file=sys.stderr)
    return good


def main():
    sidetap, pages, dir = (pathlib.Path(p).resolve() for p in sys.argv[1:4])
    warm, seconds = int(sys.argv[4]), int(sys.argv[5])
    results = {}
    for row in sys.argv[6:] or [r for r in ROWS if r != "envoy" or shutil.which("envoy")]:
        begin = play(row, sidetap, pages, dir / row, warm, seconds)
        results[row] = read(dir / row, begin)
        print(f"played: {TITLES[row]}", file=sys.stderr)
    sys.exit(0 if table(results, seconds) else 1)


if __name__ == "__main__":
    main()
