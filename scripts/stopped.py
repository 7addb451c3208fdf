#!/usr/bin/env python3
"""stopped.py [--bin SIDETAP] [--json] CAPTURE REQUESTS: what policies would have stopped of a labelled capture, by the labels.

REQUESTS has a line for each request: {"t", "ip", "port", "label", "cls", "campaign"}, as the synthesizer writes them
(requests.ndjson; the label is malicious, benign or benign-bot). The capture is replayed, `policy simulate` asks the default pack and all built-in
packs together about each request, for each kind of connector by what it can express, and what it would have done from the verdict on is
counted by the labels. `policy suggest` looks for the condition
of each campaign, with its precision and recall as it measures them; what its rules would have stopped beside the default pack is counted by the labels too.
Exit status 1 where an honest request would have been stopped or slowed."""
import argparse, collections, datetime, json, os, subprocess, sys, tempfile

STOPS = {"block", "geo-fence", "challenge", "deceive"}
SLOWS = {"rate-limit", "tarpit"}
PACKS = {
    "default": ["default"],
    "all packs": ["account-protection", "scraping", "hype-sale", "gift-cards", "fraud-chain", "ai-agents"],
}


def lines(path):
    with open(path) as file:
        for line in file:
            yield json.loads(line)


def micros(text):
    at = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    return round(at.timestamp() * 1_000_000)


def labels(path):
    """By client, port and time; of two in one microsecond the first."""
    rows = {}
    for row in lines(path):
        rows.setdefault((row["ip"], row["port"], round(row["t"] * 1_000_000)), row)
    return rows


class Place:
    def __init__(self, binary, dir):
        self.binary, self.dir = binary, dir

    def path(self, name):
        return os.path.join(self.dir, name)

    def run(self, *args):
        out = subprocess.run([self.binary, *args], capture_output=True, text=True, cwd=self.dir)
        if out.returncode not in (0, 3):
            sys.exit(f"{' '.join(args)}: {out.stderr.strip()}")
        return out.stdout

    def pack(self, name, extends):
        path = self.path(name)
        with open(path, "w") as file:
            file.write(f"version: 1\nrevision: stopped\nextends: [{', '.join(extends)}]\nrules: []\n")
        return path


def count(place, pack, truth):
    """Requests that each kind of connector would have stopped or slowed in time, by label."""
    decisions = place.path("decisions.ndjson")
    place.run("policy", "simulate", pack, "--run", "run", "--decisions", decisions, "--json")
    sums, unknown = collections.defaultdict(collections.Counter), 0
    for row in lines(decisions):
        label = truth.get((row["client"], row["port"], micros(row["@timestamp"])))
        if label is None:
            unknown += 1
            continue
        kind = "malicious" if label["label"] == "malicious" else "honest"
        for device, effect in row["by"].items():
            response = effect["response"]
            what = "stopped" if response in STOPS else "slowed" if response in SLOWS else None
            sums[device][kind, what if not effect.get("too_late") else "late"] += what is not None
    return sums, unknown


def suggested(place):
    """Each suggested rule, with its precision and recall as they were measured; and a pack of them, without any other rule."""
    rules = json.loads(place.run("policy", "suggest", "--run", "run", "--json"))
    pack = place.path("suggested.yaml")
    place.run("policy", "suggest", "--run", "run", "--out", pack)
    told = []
    for rule in rules:
        m, subject = rule["measured"], rule["subject"]
        fits = m["campaign_requests"] + m["other_malicious"]
        told.append({
            "class": rule["class"],
            "condition": " + ".join(p["kind"] for p in subject.get("parts") or [subject]),
            "precision": round(fits / max(1, fits + m["honest_requests"]), 4),
            "recall": round(m["campaign_requests"] / max(1, m["campaign_total"]), 4),
            "of": m["campaign_total"],
        })
    return sorted(told, key=lambda r: (r["class"], -r["of"])), pack


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", default="target/release/sidetap")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("capture")
    parser.add_argument("requests")
    args = parser.parse_args()
    truth = labels(args.requests)
    of = collections.Counter("malicious" if row["label"] == "malicious" else "honest" for row in truth.values())
    said, hurt = {"requests": dict(of), "packs": {}}, 0
    with tempfile.TemporaryDirectory() as dir:
        place = Place(os.path.abspath(args.bin), dir)
        place.run("replay", os.path.abspath(args.capture), "--exchanges", "--out", "run", "--hash-key", "key")
        said["suggested"], pack = suggested(place)
        for name, extends in {**PACKS, "default, suggested rules": pack}.items():
            pack = extends if isinstance(extends, str) else place.pack("pack.yaml", extends)
            sums, unknown = count(place, pack, truth)
            rows = said["packs"][name] = {}
            for device, n in sorted(sums.items()):
                honest = n["honest", "stopped"] + n["honest", "slowed"] + n["honest", "late"]
                hurt += honest
                rows[device] = {
                    "stopped": n["malicious", "stopped"], "slowed": n["malicious", "slowed"], "late": n["malicious", "late"],
                    "share": round((n["malicious", "stopped"] + n["malicious", "slowed"]) / max(1, of["malicious"]), 4), "honest": honest,
                }
            said["unlabelled"] = unknown
    if args.json:
        print(json.dumps(said, indent=1))
    else:
        print(f"{of['malicious']:,} malicious and {of['honest']:,} honest requests")
        print("| packs | connector | stopped | slowed | before the verdict | share | honest |\n|---|---|---|---|---|---|---|")
        for name, rows in said["packs"].items():
            for device, n in rows.items():
                print(f"| {name} | {device} | {n['stopped']:,} | {n['slowed']:,} | {n['late']:,} | {n['share']:.1%} | {n['honest']} |")
        print("| suggested for | condition | precision | recall | of requests |\n|---|---|---|---|---|")
        for rule in said["suggested"]:
            print(f"| {rule['class']} | {rule['condition']} | {rule['precision']:.4f} | {rule['recall']:.3f} | {rule['of']:,} |")
    sys.exit(1 if hurt else 0)


if __name__ == "__main__":
    main()
