#!/usr/bin/env python3
"""reference.py [--write] [--server nginx|haproxy|apache]... [NAME...]: how real servers read the shapes of fixtures/http1.

Starts each server on loopback as a proxy before a backend that tells what it was handed, sends what the client of a
dialogue says, and compares what was accepted (method, target, length of the body) or refused (status) with what the
fixture's JSON names under "servers". --write puts down what was measured instead. A server that is not installed is left
out with a line that says so. Exit status 1: something differs.
"""
import argparse, json, os, re, shutil, socket, subprocess, sys, tempfile, threading, time
from concurrent.futures import ThreadPoolExecutor

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fixtures", "http1")
PATIENCE = 1.0
SIZE = re.compile(rb"[0-9a-fA-F]+")


def client_bytes(text):
    """What the client of a dialogue says, over all of it (docs/testkit.md tells the format)."""
    out, way = bytearray(), None
    names = {"r": b"\r", "n": b"\n", "t": b"\t", "0": b"\0", "|": b"", "[": b"", "]": b""}
    for line in text.split("\n")[:-1] if text.endswith("\n") else text.split("\n"):
        if line.rstrip() in (">>>", "<<<"):
            way = line.rstrip()
        elif line.startswith("~ "):
            words = line[2:].split(" ", 2)
            if way == ">>>" and words[0] == "fill":
                pattern = words[2].encode()
                out += (pattern * (int(words[1]) // len(pattern) + 1))[: int(words[1])]
            elif way == ">>>" and words[0] == "hex":
                out += bytes.fromhex("".join(words[1:]))
        elif way == ">>>":
            ends = not line.endswith("\\") or line.endswith("\\\\")
            line = line if ends else line[:-1]
            at = 0
            while at < len(line):
                if line[at] != "\\":
                    out += line[at].encode()
                    at += 1
                elif line[at + 1] == "x":
                    out.append(int(line[at + 2 : at + 4], 16))
                    at += 4
                else:
                    out += names.get(line[at + 1], line[at + 1].encode())
                    at += 2
            if ends:
                out += b"\r\n"
    return bytes(out)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Backend:
    """Answers each request with what it was: method, target, length of the body."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                conn, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(conn,), daemon=True).start()

    def serve(self, conn):
        conn.settimeout(10)
        with conn, conn.makefile("rb") as lines:
            try:
                method, target, _ = lines.readline().split(b" ", 2)
                fields = {}
                while (line := lines.readline().strip()):
                    name, _, value = line.partition(b":")
                    fields[name.strip().lower()] = value.strip()
                if fields.get(b"expect", b"").lower() == b"100-continue":
                    conn.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                length = int(fields.get(b"content-length", b"0"))
                if b"chunked" in fields.get(b"transfer-encoding", b"").lower():
                    length = 0
                    while size := int(SIZE.match(lines.readline()).group(), 16):
                        length += len(lines.read(size))
                        lines.readline()
                    while lines.readline().strip():
                        pass
                elif len(lines.read(length)) < length:
                    return
                read = b"%s %s %d" % (method, target, length)
                body = b"" if method == b"HEAD" else b"@@" + read + b"@@"
                conn.sendall(b"HTTP/1.1 200 OK\r\nX-Read: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (read, len(b"@@" + read + b"@@"), body))
            except (OSError, ValueError, AttributeError, OverflowError):
                return


NGINX = """daemon off; pid {dir}/pid; error_log {dir}/error; worker_processes 1;
events {{ worker_connections 512; }}
http {{ access_log off; client_body_temp_path {dir}/a; proxy_temp_path {dir}/b; fastcgi_temp_path {dir}/c; uwsgi_temp_path {dir}/d; scgi_temp_path {dir}/e;
  server {{ listen 127.0.0.1:{port}; client_max_body_size 100m;
    location / {{ proxy_pass http://127.0.0.1:{backend}; proxy_http_version 1.1; }} }} }}
"""
HAPROXY = """global
  maxconn 512
defaults
  mode http
  timeout connect 2s
  timeout client 8s
  timeout server 8s
frontend f
  bind 127.0.0.1:{port}
  default_backend b
backend b
  server s 127.0.0.1:{backend}
"""
APACHE = """ServerName localhost
PidFile {dir}/pid
ErrorLog {dir}/error
Listen 127.0.0.1:{port}
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule proxy_module {modules}/mod_proxy.so
LoadModule proxy_http_module {modules}/mod_proxy_http.so
ProxyPass / http://127.0.0.1:{backend}/ disablereuse=on
AllowEncodedSlashes NoDecode
"""


class Server:
    """A server in front of the backend, for as long as the block lasts."""

    def __init__(self, name, backend):
        self.dir = tempfile.mkdtemp()
        os.chmod(self.dir, 0o755)
        self.port = free_port()
        binary = find(name)
        text = {"nginx": NGINX, "haproxy": HAPROXY, "apache": APACHE}[name]
        conf = os.path.join(self.dir, "conf")
        with open(conf, "w") as f:
            f.write(text.format(dir=self.dir, port=self.port, backend=backend, modules="/usr/lib/apache2/modules"))
        args = {"nginx": ["-c", conf, "-p", self.dir], "haproxy": ["-db", "-f", conf], "apache": ["-X", "-d", self.dir, "-f", conf]}
        if name == "apache":
            args["apache"] = ["-DFOREGROUND", "-d", self.dir, "-f", conf]
        self.process = subprocess.Popen([binary] + args[name], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def __enter__(self):
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return self
            except OSError:
                time.sleep(0.1)
        raise SystemExit("reference.py: a server did not start")

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)

    def ask(self, said):
        """What the server makes of these bytes: a list of [method, target, length] and of statuses of refusal."""
        got = bytearray()
        with socket.create_connection(("127.0.0.1", self.port), 5) as s:
            s.settimeout(PATIENCE)
            try:
                s.sendall(said)
                while piece := s.recv(65536):
                    got += piece
            except OSError:
                pass
        answers, at = [], 0
        head = re.compile(rb"HTTP/\d\.\d (\d{3})[^\r\n]*\r\n((?:[^\r\n]+\r\n)*)\r\n")
        for m in head.finditer(bytes(got)):
            if m.group(1).startswith(b"1"):
                continue
            read = re.search(rb"(?i)X-Read: (\S+) (.*) (\d+)\r\n", m.group(2))
            answers.append([read.group(1).decode("latin1"), read.group(2).decode("latin1"), int(read.group(3))] if read else int(m.group(1)))
        if not answers and (m := re.match(rb"@@(\S+) (.*) (\d+)@@", bytes(got))):
            answers.append([m.group(1).decode("latin1"), m.group(2).decode("latin1"), int(m.group(3))])
        elif not answers and got:
            answers.append(400)
        return answers


def find(name):
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    return shutil.which({"apache": "apache2"}.get(name, name), path=path)


def written(text, servers):
    """The fixture's text with what was measured on a line of its own, all else as it stands."""
    text = re.sub(r',\n  "servers": .*', "", text)
    end = text.rstrip().rindex("\n}")
    return text[:end] + ',\n  "servers": ' + json.dumps(servers) + text[end:]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--server", action="append", choices=["nginx", "haproxy", "apache"])
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    names = options.names or sorted(f[:-5] for f in os.listdir(ROOT) if f.endswith(".http"))
    fixtures = {}
    for name in names:
        with open(os.path.join(ROOT, name + ".json")) as f:
            text = f.read()
        want = json.loads(text).get("servers")
        if want is not None or (options.write and options.names):
            with open(os.path.join(ROOT, name + ".http"), newline="") as f:
                fixtures[name] = (client_bytes(f.read()), text, dict(want or {}))
    backend, wrong, compared = Backend(), 0, 0
    for server in options.server or ["nginx", "haproxy", "apache"]:
        if not find(server):
            print(f"{server} is not installed: left out")
            continue
        with Server(server, backend.port) as running, ThreadPoolExecutor(24) as pool:
            measured = list(pool.map(lambda f: running.ask(f[0]), fixtures.values()))
        for (name, (_, _, want)), have in zip(fixtures.items(), measured):
            if options.write:
                want[server] = have
            elif server in want:
                compared += 1
                if want[server] != have:
                    wrong += 1
                    print(f"{name}: {server} reads {json.dumps(have)}, not {json.dumps(want[server])}")
    if options.write:
        for name, (_, text, want) in fixtures.items():
            with open(os.path.join(ROOT, name + ".json"), "w") as f:
                f.write(written(text, want))
    else:
        print(f"{compared} readings compared, {wrong} differ")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
