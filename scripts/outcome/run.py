"""run.py SIDETAP PAGES DIR WARM SECONDS [ROW...]: what four attacks achieve against a shop, by what stands before it. See scripts/outcome.sh."""
import json, os, pathlib, shutil, signal, subprocess, sys, time

from attacks import NETWORKS

HERE = pathlib.Path(__file__).parent
ROWS = ["none", "addresses", "haproxy", "nginx"]
TITLES = {
    "none": "no enforcement",
    "addresses": "addresses (HAProxy)",
    "haproxy": "fingerprints (HAProxy)",
    "nginx": "fingerprints (nginx)",
}
TAKES = {"stuffing": ("account", "accounts"), "enumeration": ("id", "ids"), "scraping": ("page", "pages"), "hype-sale": ("stock", "stock")}
SERVER, MIRROR = "10.93.0.2", "mirror0"
# Who calls by contract is named, as docs/policy.md has it.
PARTIES = ['[[partners]]', 'name = "carrier"', 'networks = ["20.0.202.7/32"]', '[[monitors]]', 'name = "uptime"', 'networks = ["20.0.203.9/32"]']
POLICY = "version: 1\nrevision: outcome\nextends: [account-protection, scraping, hype-sale]\nrules: []\n"


class Net:
    """Attackers, honest clients and the site on one bridge, and the sensor on the port of it that sees every frame."""

    def __init__(self):
        self.id = f"so{os.getpid()}"
        for space in "hacsm":
            self.ip("netns", "add", self.id + space)
            self.run(space, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1")
            self.ip("-n", self.id + space, "link", "set", "lo", "up")
        hub = self.id + "h"
        self.ip("-n", hub, "link", "add", "br0", "type", "bridge", "ageing_time", "0")
        self.ip("-n", hub, "link", "set", "br0", "up")
        for space, port in (("a", "eth0"), ("c", "eth0"), ("s", "eth0"), ("m", MIRROR)):
            self.ip("-n", hub, "link", "add", f"v{space}", "type", "veth", "peer", "name", port, "netns", self.id + space)
            self.ip("-n", hub, "link", "set", f"v{space}", "master", "br0", "up")
            self.ip("-n", self.id + space, "link", "set", port, "up")
        for space, own, whole in (("c", "10.93.0.1", "20.0.0.0/10"), ("a", "10.93.0.3", "20.64.0.0/10")):
            self.ip("-n", self.id + space, "addr", "add", f"{own}/24", "dev", "eth0")
            self.ip("-n", self.id + space, "route", "add", "local", whole, "dev", "lo")
        self.ip("-n", self.id + "s", "addr", "add", f"{SERVER}/24", "dev", "eth0")
        self.ip("-n", self.id + "s", "route", "add", "20.0.0.0/10", "via", "10.93.0.1")
        self.ip("-n", self.id + "s", "route", "add", "20.64.0.0/10", "via", "10.93.0.3")

    def ip(self, *words):
        subprocess.run(["ip", *words], check=True)

    def run(self, space, *words):
        subprocess.run(self.words(space, *words), check=True)

    def words(self, space, *words):
        return ["ip", "netns", "exec", self.id + space, *map(str, words)]

    def start(self, space, log, *words, cwd=None):
        with open(log, "w") as out:
            return subprocess.Popen(self.words(space, *words), stdout=out, stderr=out, stdin=subprocess.DEVNULL, cwd=cwd)

    def listens(self, port):
        return f":{port} " in subprocess.run(self.words("s", "ss", "-ltn"), capture_output=True, text=True).stdout

    def close(self):
        for space in "hacsm":
            subprocess.run(["ip", "netns", "del", self.id + space], stderr=subprocess.DEVNULL)


def until(what, is_so):
    for _ in range(600):
        if is_so():
            return
        time.sleep(0.1)
    sys.exit(f"outcome: not in time: {what}")


def haproxy(dir, pages, net):
    """HAProxy as docs/connectors has it, and what to tell Sidetap of it."""
    text = (pages / "haproxy.cfg").read_text()
    text = text.replace("/run/haproxy/sidetap.sock", f"{dir}/sock").replace("/etc/haproxy/sidetap/", f"{dir}/")
    text = text.replace("backend app\n", "backend app\n    http-request set-header X-Forwarded-For %[src]\n")
    (dir / "haproxy.cfg").write_text(text)
    shutil.copy(pages / "sidetap.lua", dir)
    shutil.copy(pages / "challenge.html", dir)
    for name in ("block", "keys", "places", "nets", "rate", "tarpit", "challenge", "decoy", "tag", "allow"):
        (dir / f"{name}.map").touch()
    device = net.start("s", dir / "device.log", "haproxy", "-db", "-f", dir / "haproxy.cfg")
    maps = {"block": "block_map", "keys": "keys_map", "places": "places_map", "nets": "nets_map", "allow": "allow_map"}
    lines = [f'{key} = "{dir}/{name}.map"' for name, key in maps.items()]
    return device, ["[[mitigation.haproxy]]", 'name = "edge"', f'socket = "{dir}/sock"', *lines]


def nginx(dir, pages, net):
    """nginx with the script for fingerprints, as docs/connectors has it, and what to tell Sidetap of it."""
    text = (pages / "nginx-fingerprints.conf").read_text().replace("/etc/nginx/sidetap/", f"{dir}/")
    temporary = "".join(f"{t}_temp_path {dir}/{t};\n" for t in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    text = text.replace("http {\n", f"http {{\n{temporary}access_log off;\n", 1)
    text = text.replace("proxy_pass http", "proxy_set_header X-Forwarded-For $remote_addr;\nproxy_set_header Host $host;\nproxy_pass http")
    (dir / "nginx.conf").write_text(f"user root; pid {dir}/pid; error_log {dir}/error.log;\n" + text)
    shutil.copy(pages / "sidetap.js", dir)
    for name in ("addresses", "allow", "keys", "places", "nets"):
        (dir / f"{name}.conf").touch()
    device = net.start("s", dir / "device.log", "nginx", "-c", dir / "nginx.conf", "-g", "daemon off;")
    run = net.words("s", "nginx", "-c", dir / "nginx.conf")
    lines = [f'{key} = "{dir}/{key}.conf"' for key in ("addresses", "allow", "keys", "places", "nets")]
    lines += [f"test = {json.dumps([*run, '-t', '-q'])}", f"reload = {json.dumps([*run, '-s', 'reload'])}"]
    return device, ["[[mitigation.nginx]]", 'name = "edge"', *lines]


def lines(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.endswith("\n")]


def play(row, sidetap, pages, dir, warm, seconds):
    """One round: warm-up with the honest alone, then all attacks beside them."""
    shutil.rmtree(dir, ignore_errors=True)
    (dir / "db").mkdir(parents=True)
    dir.chmod(0o755)
    net, started = Net(), []
    try:
        started.append(net.start("s", dir / "shop.err", sys.executable, HERE / "shop.py", 9000, dir / "shop.log"))
        device, config = nginx(dir, pages, net) if row == "nginx" else haproxy(dir, pages, net)
        started.append(device)
        until("the site listens", lambda: net.listens(80) and net.listens(9000))
        if row == "addresses":
            config = [line for line in config if not line.startswith(("keys_map", "places_map", "nets_map"))]
        config += PARTIES
        (dir / "policy.yaml").write_text(POLICY)
        (dir / "sidetap.toml").write_text("\n".join(['[policy]\npath = "policy.yaml"', *config]) + "\n")
        args = ["watch", "-i", MIRROR, "--out", "run", "--hash-key", "key", "--store", "db/store.db", "--listen", "127.0.0.1:0"]
        args += [] if row == "none" else ["--enforce"]
        log = dir / "watch.log"
        watch = net.start("m", log, sidetap, *args, cwd=dir)
        started.append(watch)
        until(f"the sensor captures ({log})", lambda: "rights" in log.read_text() or watch.poll() is not None)
        begin = time.time() + warm
        honest = net.start("c", dir / "people.err", sys.executable, HERE / "people.py", SERVER, warm + seconds, dir / "people.log")
        started.append(honest)
        time.sleep(max(0, begin - time.time()))
        attack = net.start("a", dir / "attacks.err", sys.executable, HERE / "attacks.py", SERVER, seconds, dir / "attacks.log")
        started.append(attack)
        attack.wait()
        honest.wait()
        watch.send_signal(signal.SIGTERM)
        if watch.wait() not in (0, 3):
            sys.exit(f"outcome: the sensor failed: {log}")
        return begin
    finally:
        for process in reversed(started):
            process.terminate()
        for process in started:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
        net.close()


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
    for row in sys.argv[6:] or ROWS:
        begin = play(row, sidetap, pages, dir / row, warm, seconds)
        results[row] = read(dir / row, begin)
        print(f"played: {TITLES[row]}", file=sys.stderr)
    sys.exit(0 if table(results, seconds) else 1)


if __name__ == "__main__":
    main()
