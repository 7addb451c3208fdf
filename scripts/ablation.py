"""ablation.py SIDETAP CAPTURE TRUTH DIR MODEL [OPTION...]: the table of ablation.sh."""
import collections, datetime, json, math, os, subprocess, sys

sidetap, capture, truth, where, model = sys.argv[1:6]
options = sys.argv[6:]
PARTS = ["tools", "infrastructure", "behaviour", "credentials", "campaigns", "contrast", "addresses", "intelligence", "anomaly"]


def lines(*path):
    with open(os.path.join(*path), encoding="utf-8") as f:
        return [json.loads(line) for line in f]


def seconds(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


labels = {row["id"]: row for row in lines(truth, "labels.ndjson")}
requests = lines(truth, "requests.ndjson")
owner = collections.defaultdict(list)
for row in requests:
    owner[(row["ip"], row["port"])].append((row["t"], row["entity"]))
bad = {i for i, row in labels.items() if row["label"] == "malicious"}
campaigns = collections.defaultdict(set)
for i in bad:
    campaigns[labels[i]["campaign"]].add(i)


def convicted(run):
    """Clients that verdicts convict, and the groups that they name."""
    cover = collections.defaultdict(set)
    for e in lines(run, "exchanges.ndjson"):
        client, port = e.get("client") or {}, (e.get("source") or {}).get("port")
        known = owner.get((client.get("ip"), client.get("port"))) or owner.get((client.get("ip"), port), ())
        near = min(known, key=lambda o: abs(o[0] - seconds(e["@timestamp"])), default=None)
        if near and abs(near[0] - seconds(e["@timestamp"])) < 10:
            for kind, values in e["sidetap"]["actor"].items():
                for value in values if isinstance(values, list) else [values]:
                    cover[(kind, value)].add((near[1], client["ip"]))
    found, groups = set(), collections.defaultdict(set)
    by_ip = collections.defaultdict(set)
    for i, row in labels.items():
        by_ip[row["src_ip"]].add(i)
    for v in lines(run, "verdicts.ndjson"):
        if v["intent"] != "malicious":
            continue
        subject = v["subject"]
        if subject["kind"] == "ip":
            ids = by_ip[subject["value"]]
        else:
            parts = subject.get("parts") or [subject]
            both = set.intersection(*[cover[(p["kind"], p["value"])] for p in parts])
            ids = {i for i, ip in both if not v.get("client_ips") or ip in v["client_ips"]}
        found |= ids
        groups[v.get("campaign")] |= ids
    return found, groups


def row(name, found, groups, among=None):
    among = among or set(labels)
    own = bad & among
    hit, wrong = found & own, (found & among) - bad
    classes = collections.Counter(labels[i]["class"] for i in own)
    least = min((len([i for i in hit if labels[i]["class"] == c]) / n for c, n in classes.items()), default=0)
    overlap = lambda c, w: len(c & w) / max(1, len(c | w))
    camps = "" if groups is None else "%d of %d" % (
        sum(max((overlap(g, w) for g in groups.values()), default=0) >= 0.5 for w in campaigns.values()), len(campaigns))
    print("%-28s %9.3f %7.3f %7d %7.3f  %s" % (
        name, len(hit) / max(1, len(hit) + len(wrong)), len(hit) / max(1, len(own)), len(wrong), least, camps), flush=True)


def replay(name, without):
    run = os.path.join(where, "run")
    args = [sidetap, "replay", capture, "--exchanges", "--out", run, "--hash-key", os.path.join(where, "key"), *options]
    if without:
        args += ["--without", without]
    subprocess.run(args, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    row(name, *convicted(run))


def features(own):
    """What a log tells of a client: the usual features of papers on web robots."""
    own = sorted(own, key=lambda r: r["t"])
    gaps = [b["t"] - a["t"] for a, b in zip(own, own[1:])] or [0.0]
    mean = sum(gaps) / len(gaps)
    deviation = math.sqrt(sum((g - mean) ** 2 for g in gaps) / len(gaps))
    paths = [r["uri"].split("?")[0] for r in own]
    share = lambda test: sum(map(test, own)) / len(own)
    status = lambda low, high: share(lambda r: low <= r["status"] < high)
    asset = lambda r: r["uri"].split("?")[0].rsplit(".", 1)[-1] in ("js", "css", "png", "svg", "woff2", "jpg", "ico")
    agent = own[0].get("ua") or ""
    depth = [p.count("/") for p in paths]
    return [
        len(own), math.log1p(len(own)), own[-1]["t"] - own[0]["t"], mean, deviation, min(gaps), max(gaps), sorted(gaps)[len(gaps) // 2],
        deviation / (mean + 1e-9), status(200, 300), status(300, 400), status(400, 500), status(500, 600),
        share(lambda r: r["status"] == 404), share(lambda r: r["status"] in (401, 403)), share(lambda r: r["method"] == "POST"),
        share(lambda r: r["method"] == "HEAD"), share(asset), share(lambda r: "?" in r["uri"]), len(set(paths)) / len(paths),
        len(set(r["uri"] for r in own)) / len(own), len(set(r["host"] for r in own)), sum(depth) / len(depth), max(depth),
        share(lambda r: r["uri"].startswith("/robots.txt")), len(agent), agent.startswith("Mozilla/5.0"),
        any(w in agent.lower() for w in ("bot", "crawl", "spider")), any(w in agent.lower() for w in ("python", "curl", "go-http", "java")),
        len(set(r.get("ua") for r in own)), sum(len(r["uri"]) for r in own) / len(own),
    ]


def boosted():
    import random
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier

    by_client = collections.defaultdict(list)
    for r in requests:
        by_client[r["entity"]].append(r)
    known = sorted(i for i in labels if by_client[i])
    x = {i: features(by_client[i]) for i in known}
    groups = collections.defaultdict(list)
    for i in known:
        groups[labels[i]["campaign"] or labels[i]["actor"]].append(i)
    rng, half = random.Random(7), set()
    for name in sorted(groups):
        rng.shuffle(groups[name])
        half |= set(groups[name][: (len(groups[name]) + 1) // 2])

    def judge(name, make, train, test):
        fitted = make().fit([x[i] for i in train], [i in bad for i in train])
        return {i for i, p in zip(test, fitted.predict_proba([x[i] for i in test])[:, 1]) if p >= 0.5}

    train, test = sorted(half), sorted(set(known) - half)
    makers = [
        ("boosted trees, half", lambda: HistGradientBoostingClassifier(random_state=7)),
        ("random forest, half", lambda: RandomForestClassifier(300, random_state=7)),
    ]
    for name, make in makers:
        row(name, judge(name, make, train, test), None, set(test))
    # Campaigns that nobody has seen before: in five turns.
    names, found = sorted(campaigns), set()
    honest = sorted(set(known) - bad)
    for turn in range(5):
        new = set().union(*[campaigns[n] for k, n in enumerate(names) if k % 5 == turn]) & set(known)
        kept = [i for k, i in enumerate(honest) if k % 5 != turn]
        seen = sorted((bad & set(known)) - new) + kept
        found |= judge("", makers[0][1], seen, sorted(new | (set(honest) - set(kept))))
    row("boosted trees, new campaigns", found, None, set(known))


def left_out():
    """Each class without its own rules, and each class and application for a model that never saw it."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    by_client = collections.defaultdict(list)
    for r in requests:
        by_client[r["entity"]].append(r)
    known = sorted(i for i in labels if by_client[i])
    x = {i: features(by_client[i]) for i in known}
    host = {i: collections.Counter(r["host"] for r in by_client[i]).most_common(1)[0][0] for i in known}

    def model(test):
        train = [i for i in known if i not in test]
        fitted = HistGradientBoostingClassifier(random_state=7).fit([x[i] for i in train], [i in bad for i in train])
        test = sorted(test)
        return {i for i, p in zip(test, fitted.predict_proba([x[i] for i in test])[:, 1]) if p >= 0.5}

    honest = sorted(set(known) - bad)
    print("\n%-28s %8s %22s %22s %14s" % ("class", "clients", "without its own rules", "trees without it", "honest of both"))
    for name in sorted({labels[i]["class"] for i in bad}):
        own = {i for i in bad if labels[i]["class"] == name}
        run = os.path.join(where, "run")
        args = [sidetap, "replay", capture, "--exchanges", "--out", run, "--hash-key", os.path.join(where, "key"), *options, "--without", name]
        subprocess.run(args, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        found = convicted(run)[0]
        half = set(honest[::2])
        guessed = model((own & set(known)) | half) if model_too else set()
        print("%-28s %8d %22.3f %22s %8d %5s" % (
            name, len(own), len(found & own) / len(own), "%.3f" % (len(guessed & own) / len(own)) if model_too else "",
            len(found - bad), len(guessed - bad) if model_too else ""), flush=True)
    if not model_too:
        return
    everything = convicted_all
    print("\n%-28s %8s %9s %7s %22s %7s" % ("application", "clients", "precision", "recall", "trees without it: prec.", "recall"))
    for name in sorted(set(host.values())):
        there = {i for i in known if host[i] == name}
        own = there & bad
        if not own:
            continue
        found, guessed = everything & there, model(there)
        share = lambda a, b: len(a) / max(1, len(b))
        print("%-28s %8d %9.3f %7.3f %22.3f %7.3f" % (
            name, len(there), share(found & own, found), share(found & own, own), share(guessed & own, guessed), share(guessed & own, own)), flush=True)


print("%-28s %9s %7s %7s %7s  %s" % ("", "precision", "recall", "honest", "least", "campaigns"))
model_too = model == "1"
replay("all of it", None)
convicted_all = convicted(os.path.join(where, "run"))[0]
if os.environ.get("LEFT_OUT"):
    left_out()
    sys.exit()
for part in PARTS:
    replay(f"without {part}", part)
if model_too:
    boosted()
