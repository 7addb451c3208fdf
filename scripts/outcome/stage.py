"""What a scene is made of: network namespaces, a shop behind a device as docs/connectors has it, a sensor on the mirror."""
import os, pathlib, shutil, subprocess, sys, time

HERE = pathlib.Path(__file__).parent
SERVER, MIRROR = "10.93.0.2", "mirror0"


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
    """nginx with the script that looks entries up, as docs/connectors has it, and what to tell Sidetap of it."""
    text = (pages / "nginx-njs.conf").read_text().replace("/etc/nginx/sidetap/", f"{dir}/")
    temporary = "".join(f"{t}_temp_path {dir}/{t};\n" for t in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    text = text.replace("http {\n", f"http {{\n{temporary}access_log off;\n", 1)
    text = text.replace("proxy_pass http", "proxy_set_header X-Forwarded-For $remote_addr;\nproxy_set_header Host $host;\nproxy_pass http")
    (dir / "nginx.conf").write_text(f"user root; pid {dir}/pid; error_log {dir}/error.log;\n" + text)
    shutil.copy(pages / "sidetap.js", dir)
    (dir / "entries").mkdir()
    device = net.start("s", dir / "device.log", "nginx", "-c", dir / "nginx.conf", "-g", "daemon off;")
    return device, ["[[mitigation.nginx_njs]]", 'name = "edge"', f'entries = "{dir}/entries"']


def envoy(dir, pages, net):
    """Envoy with its Lua filter, as docs/connectors has it, and what to tell Sidetap of it."""
    (dir / "watched").mkdir()
    text = (pages / "envoy.yaml").read_text().replace("/etc/envoy/sidetap", f"{dir}/watched")
    # Clients connect themselves.
    own = [line for line in text.splitlines() if "original_ip_detection" not in line]
    text = "\n".join(own).replace("stat_prefix: www", "stat_prefix: www\n          use_remote_address: true")
    (dir / "envoy.yaml").write_text(text + "\n")
    for name in ("template.json", "watched/routes.json"):
        shutil.copy(pages / "envoy-routes.json", dir / name)
    words = ("-c", dir / "envoy.yaml", "--concurrency", "1", "-l", "error", "--base-id", os.getpid() % 30000 * 16 + 13)
    device = net.start("s", dir / "device.log", shutil.which("envoy"), *words)
    lines = [f'routes = "{dir}/watched/routes.json"', f'template = "{dir}/template.json"', f'memory = "{dir}/memory.json"', 'script = "sidetap-script"']
    return device, ["[[mitigation.envoy]]", 'name = "edge"', *lines]


class Site:
    """A shop behind a device, with a place for a sensor on its mirror; all that was started ends with it."""

    def __init__(self, dir, pages, device):
        (dir / "db").mkdir(parents=True)
        dir.chmod(0o755)
        self.dir, self.net, self.started = dir, Net(), []
        try:
            self.start("s", "shop.err", sys.executable, HERE / "shop.py", 9000, dir / "shop.log")
            process, self.config = device(dir, pages, self.net)
            self.started.append(process)
            until("the site listens", lambda: self.net.listens(80) and self.net.listens(9000))
        except BaseException:
            self.end()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def start(self, space, log, *words):
        process = self.net.start(space, self.dir / log, *words)
        self.started.append(process)
        return process

    def watch(self, sidetap, *args):
        """The sensor, once it captures."""
        log = self.dir / "watch.log"
        watch = self.net.start("m", log, sidetap, "watch", "-i", MIRROR, *args, cwd=self.dir)
        self.started.append(watch)
        until(f"the sensor captures ({log})", lambda: "rights" in log.read_text() or watch.poll() is not None)
        return watch

    def people(self, seconds):
        return self.start("c", "people.err", sys.executable, HERE / "people.py", SERVER, seconds, self.dir / "people.log")

    def end(self):
        for process in reversed(self.started):
            process.terminate()
        for process in self.started:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
        self.net.close()
