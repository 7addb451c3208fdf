#!/usr/bin/env python3
"""differential.py [--bin FILE] [--dir DIR]: sends odd requests to real servers and compares what each of them says that it served
with what Sidetap saw on the wire.

nginx, Node.js, Apache httpd, Caddy, gunicorn, Go's and Python's own servers run on loopback (those that are installed), tcpdump captures. Each
shape goes first on a connection of its own, and two plain requests follow, which some servers take for content of it and others do not: whatever
the server served must stand in exchanges.ndjson, with its answer or saying that it is not known. Prints each connection where something is
missing; exit status 1 where there is one, 2 where nothing could be compared. Needs root's rights for tcpdump.
"""
import argparse, json, os, shutil, socket, subprocess, sys, tempfile, time

FIRST_LINES = [
    "GET /f HTTP/1.1", "get /f HTTP/1.1", "FOO /f HTTP/1.1", "A-B /f HTTP/1.1", "A_B /f HTTP/1.1", "PROPFIND /f HTTP/1.1",
    "SOURCE /f HTTP/1.1", "GET\t/f HTTP/1.1", "GET  /f  HTTP/1.1", "GET /f HTTP/1.1 ", "GET /f http/1.1", "GET /f HTTP/1.0",
    "GET /f HTTP/1.2", "GET /f HTTP/2.0", "GET /f HTTP/01.1", "GET /f RTSP/1.0", "GET /f RTSP/1.1", "POST /f RTSP/1.1",
    "OPTIONS /f RTSP/1.1", "GET /f SIP/2.0", "GET /f ICAP/1.0", "EHLO /f HTTP/1.1", "HELO /f HTTP/1.1", "USER /f HTTP/1.1",
    "LIST /f HTTP/1.1", "AUTH /f HTTP/1.1", "SSH-2 /f HTTP/1.1", "220 /f HTTP/1.1", "PROXY /f HTTP/1.1", "PRI * HTTP/2.0",
    "CONNECT /f HTTP/1.1", "CONNECT x:80 HTTP/1.1", "GET http://x/f HTTP/1.1", "GET f HTTP/1.1", "GET //f HTTP/1.1",
    "GET /f#a HTTP/1.1", "GET /f?a=b c HTTP/1.1", "GET /\xe9 HTTP/1.1", "GET /%00 HTTP/1.1", "GET /f", "OPTIONS * HTTP/1.1",
]
FIELDS = [
    ("Content-Length: +5", "hello"), ("Content-Length: 05", "hello"), ("Content-Length: 5, 5", "hello"),
    ("Content-Length: 5\r\nContent-Length: 5", "hello"), ("Content-Length: 5\r\nContent-Length: 6", "hello"),
    ("Content-Length: 0x5", "hello"), ("Content-Length:5 ", "hello"), ("Content-Length : 5", "hello"),
    ("Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n"), ("Transfer-Encoding: Chunked", "5\r\nhello\r\n0\r\n\r\n"),
    ("Transfer-Encoding: chunked\r\nContent-Length: 5", "5\r\nhello\r\n0\r\n\r\n"), ("Transfer-Encoding: x, chunked", "5\r\nhello\r\n0\r\n\r\n"),
    ("Transfer-Encoding: chunked", "5;a=b\r\nhello\r\n0\r\nA: b\r\n\r\n"), ("Transfer-Encoding: chunked", "00005\r\nhello\r\n000\r\n\r\n"),
    ("Transfer-Encoding : chunked", "5\r\nhello\r\n0\r\n\r\n"), ("Transfer-Encoding:\tchunked", "5\r\nhello\r\n0\r\n\r\n"),
    ("Expect: 100-continue\r\nContent-Length: 35", "GET /fake HTTP/1.1\r\nHost: x\r\nA: b\r\n\r"), ("Connection: close", ""),
    ("Connection: keep-alive", ""), ("Upgrade: h2c\r\nConnection: upgrade", ""), ("Upgrade: tls/1.0\r\nConnection: upgrade", ""),
    (" Folded: a", ""), ("A: b\r\n c", ""), ("A", ""), (": b", ""), ("A\0: b", ""), ("A: \x01", ""), ("Host: y", ""), ("X: " + "a" * 7000, ""),
]


UPGRADE = "GET /f HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"
DUMMY = "POST /f HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 900000\r\n\r\n"
CHUNKED = "POST /f HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
GET = "GET /f HTTP/1.1\r\nHost: x\r\n\r\n"
# What some servers drop, read to another end, or take no content of: what follows is content for some and requests for others.
HIDING = [
    ("upgrade, content", UPGRADE + DUMMY), ("upgrade, two", UPGRADE + GET + DUMMY), ("upgrade, one", UPGRADE + GET),
    ("upgrade, zeros", UPGRADE + DUMMY + "\0" * 3000), ("content", DUMMY), ("content that begins", DUMMY + "xxx"),
    ("upgrade with content", UPGRADE[:-2] + "Content-Length: 90000\r\n\r\n"), ("upgrade with chunks", UPGRADE[:-2] + "Transfer-Encoding: chunked\r\n\r\n"),
    ("connect, content", "CONNECT /f HTTP/1.1\r\nHost: x\r\n\r\n" + DUMMY), ("connect with content", "CONNECT x:1 HTTP/1.1\r\nHost: x\r\nContent-Length: 9000\r\n\r\n"),
    ("chunk, LF", CHUNKED + "5\nhello\r\n0\r\n\r\n"), ("chunk, extension, LF", CHUNKED + "5;a\nhello\r\n0\r\n\r\n"),
    ("chunk, LF behind it", CHUNKED + "5\r\nABCDE\nf000000\r\n\r\n"), ("chunk, two bytes behind it", CHUNKED + "5\r\nABCDEXX0\r\n\r\n"),
    ("trailer, LF", CHUNKED + "0\r\nX: y\n\n" + DUMMY), ("trailer, CR", CHUNKED + "0\r\n\r\r\n" + DUMMY), ("no size", CHUNKED + ";a\r\n\r\n" + DUMMY),
    ("no version", "POST /f\r\n\r\n"), ("upgrade, no version", UPGRADE + DUMMY + "POST /f\r\n\r\n"), ("codings", "POST /f HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n"),
    ("long head", f"POST /f HTTP/1.1\r\nHost: x\r\nX: {'y' * 70000}\r\nTransfer-Encoding: chun ked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("many fields", "GET /f HTTP/1.1\r\nHost: x\r\n" + "Content-Length: 0\r\n" * 90 + "\r\n"), ("nbsp", "GET\xa0/f\xa0HTTP/1.1\r\nHost: x\r\n\r\n"),
    ("expect, no content", GET[:-2] + "Expect: 100-continue\r\n\r\n" + DUMMY), ("1.0, chunked", CHUNKED.replace("1.1", "1.0") + "0\r\n\r\n"),
]


def shapes():
    yield from HIDING
    for line in FIRST_LINES:
        yield line, f"{line}\r\nHost: x\r\n\r\n"
    for method in ("GET", "POST"):
        for fields, body in FIELDS:
            yield f"{method} {fields[:60]!r}", f"{method} /f HTTP/1.1\r\nHost: x\r\n{fields}\r\n\r\n{body}"
    for name, text in [
        ("empty lines", "\r\n" * 40 + "GET /f HTTP/1.1\r\nHost: x\r\n\r\n"), ("LF", "GET /f HTTP/1.1\nHost: x\n\n"),
        ("no host", "GET /f HTTP/1.1\r\n\r\n"), ("no host, 1.0", "GET /f HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
        ("CR CR LF", "GET /f HTTP/1.1\r\r\nHost: x\r\n\r\n"), ("space first", " GET /f HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("TLS", "\x16\x03\x01\0\5hello"), ("LIST", "LIST\r\n"), ("nothing", ""),
    ]:
        yield name, text


def start_nginx(place):
    program = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")
    if not program:
        return None
    conf = f"""daemon off; master_process off; user root; pid {place}/pid; error_log {place}/error.log; worker_processes 1; events {{}}
http {{ log_format l '$remote_port|$request_method|$request_uri|$status'; access_log {place}/nginx.log l;
client_body_temp_path {place}/t1; proxy_temp_path {place}/t2; fastcgi_temp_path {place}/t3; uwsgi_temp_path {place}/t4; scgi_temp_path {place}/t5;
server {{ listen 127.0.0.1:18480; large_client_header_buffers 4 16k; location / {{ root {place}/html; }} }} }}"""
    open(f"{place}/nginx.conf", "w").write(conf)
    return subprocess.Popen([program, "-c", f"{place}/nginx.conf", "-p", place], stderr=subprocess.DEVNULL)


def start_node(place):
    program = shutil.which("node")
    if not program:
        return None
    script = """const fs=require('fs');require('http').createServer((q,r)=>{q.on('data',()=>{});q.on('end',()=>{
fs.appendFileSync(process.argv[2],q.socket.remotePort+'|'+q.method+'|'+q.url+'|200\\n');r.setHeader('Content-Length','2');r.end('ok')})}).listen(18481,'127.0.0.1')"""
    open(f"{place}/server.js", "w").write(script)
    return subprocess.Popen([program, f"{place}/server.js", f"{place}/node.log"], stderr=subprocess.DEVNULL)


def start_apache(place):
    program, modules = shutil.which("apache2", path=os.environ["PATH"] + ":/usr/sbin"), "/usr/lib/apache2/modules"
    if not program or not os.path.isdir(modules):
        return None
    load = "".join(f"LoadModule {n}_module {modules}/mod_{n}.so\n" for n in ("mpm_event", "authz_core", "dir"))
    conf = f"""{load}User www-data
Group www-data
ServerName x
ServerRoot {place}
PidFile {place}/apache.pid
Listen 127.0.0.1:18482
KeepAlive On
ErrorLog {place}/apache-error.log
DocumentRoot {place}/html
LogFormat "%{{remote}}p|%m|%U%q|%>s" l
CustomLog {place}/apache.log l
"""
    open(f"{place}/apache.conf", "w").write(conf)
    return subprocess.Popen([program, "-f", f"{place}/apache.conf", "-DFOREGROUND"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def start_caddy(place):
    program = shutil.which("caddy")
    if not program:
        return None
    conf = f"""{{
admin off
auto_https off
}}
http://:18483 {{
bind 127.0.0.1
log {{
output file {place}/caddy.json
format json
}}
respond "ok"
}}
"""
    open(f"{place}/Caddyfile", "w").write(conf)
    return subprocess.Popen([program, "run", "--adapter", "caddyfile", "--config", f"{place}/Caddyfile"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "HOME": place})


PYTHON = """import http.server, sys
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def do(s):
        open(sys.argv[1], 'a').write(f'{s.client_address[1]}|{s.command}|{s.path}|200\\n')
        s.send_response(200); s.send_header('Content-Length', '2'); s.end_headers(); s.wfile.write(b'ok')
    do_GET = do_POST = do_PUT = do
    def log_message(s, *a): pass
http.server.ThreadingHTTPServer(('127.0.0.1', 18484), H).serve_forever()
"""
WSGI = """import os
def app(e, start):
    e['wsgi.input'].read(int(e.get('CONTENT_LENGTH') or 0) if not e.get('wsgi.input_terminated') else -1)
    open(os.environ['LOG'], 'a').write(f"{e['REMOTE_PORT']}|{e['REQUEST_METHOD']}|{e.get('RAW_URI', e['PATH_INFO'])}|200\\n")
    start('200 OK', [('Content-Length', '2')])
    return [b'ok']
"""
GO = """package main
import ("fmt"; "io"; "net"; "net/http"; "os")
func main() {
  f, _ := os.Create(os.Args[1])
  http.ListenAndServe("127.0.0.1:18486", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
    io.Copy(io.Discard, r.Body)
    _, port, _ := net.SplitHostPort(r.RemoteAddr)
    fmt.Fprintf(f, "%s|%s|%s|200\\n", port, r.Method, r.RequestURI)
    w.Header().Set("Content-Length", "2"); w.Write([]byte("ok"))
  }))
}
"""


def start_python(place):
    open(f"{place}/server.py", "w").write(PYTHON)
    return subprocess.Popen([sys.executable, f"{place}/server.py", f"{place}/python.log"], stderr=subprocess.DEVNULL)


def start_gunicorn(place):
    program = shutil.which("gunicorn")
    if not program:
        return None
    open(f"{place}/wsgi.py", "w").write(WSGI)
    command = [program, "--chdir", place, "-b", "127.0.0.1:18485", "-k", "gthread", "--threads", "8", "wsgi:app"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "LOG": f"{place}/gunicorn.log"})


def start_go(place):
    program = shutil.which("go")
    if not program:
        return None
    open(f"{place}/server.go", "w").write(GO)
    built = subprocess.run([program, "build", "-o", f"{place}/server", f"{place}/server.go"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return subprocess.Popen([f"{place}/server", f"{place}/go.log"], stderr=subprocess.DEVNULL) if built.returncode == 0 else None


SERVERS = {18480: "nginx", 18481: "node", 18482: "apache", 18483: "caddy", 18484: "python", 18485: "gunicorn", 18486: "go"}


def served_by(place, name):
    """What a server says that it served: of each request the client's port, method, target and status."""
    log = f"{place}/caddy.json" if name == "caddy" else f"{place}/{name}.log"
    for line in open(log, encoding="latin1") if os.path.exists(log) else []:
        if name == "caddy":
            e = json.loads(line)
            r = e.get("request")
            if r and "status" in e:
                yield int(r["remote_port"]), r["method"], r["uri"], str(e["status"])
        else:
            port, method, target, status = line.rstrip("\n").split("|")[:4]
            yield int(port), method, target, status


def ask(port, text):
    """Sends a shape and two plain requests behind it; gives the port that it was sent from."""
    with socket.create_connection(("127.0.0.1", port), timeout=2) as s:
        own = s.getsockname()[1]
        s.settimeout(0.12)
        parts = [text] + [f"GET /second{n} HTTP/1.1\r\nHost: x\r\n\r\n" for n in (1, 2)]
        for part in parts:
            try:
                s.sendall(part.encode("latin1"))
                if not s.recv(9999):
                    break
            except socket.timeout:
                pass
            except OSError:
                break
        return own


def answers(port, server):
    """Whether a server that was started listens; one that does not within ten seconds is told and stopped."""
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return True
        except OSError:
            time.sleep(0.1)
    print(f"differential.py: {server[0]} does not start and is left out", file=sys.stderr)
    server[1].kill()
    server[1].wait()
    return False


def stop(servers):
    for _, process in servers.values():
        process.terminate()
        process.wait()


def main():
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("--bin", default="target/release/sidetap")
    args.add_argument("--dir")
    args = args.parse_args()
    if not os.access(args.bin, os.X_OK):
        print(f"differential.py: no program at {args.bin}: build it (cargo build --release -p sidetap) or name it with --bin", file=sys.stderr)
        return 2
    if args.dir:
        return compare(args.bin, args.dir)
    with tempfile.TemporaryDirectory(prefix="sidetap-differential-") as place:
        return compare(args.bin, place)


def compare(program, place):
    os.makedirs(f"{place}/html", exist_ok=True)
    os.chmod(place, 0o755)
    for name in ("f", "second1", "second2"):
        open(f"{place}/html/{name}", "w").write("ok")
    starts = {"nginx": start_nginx, "node": start_node, "apache": start_apache, "caddy": start_caddy, "python": start_python, "gunicorn": start_gunicorn, "go": start_go}
    servers = {port: (name, starts[name](place)) for port, name in SERVERS.items()}
    servers = {port: s for port, s in servers.items() if s[1] and answers(port, s)}
    tcpdump = shutil.which("tcpdump", path=os.environ["PATH"] + ":/usr/sbin")
    if not servers or not tcpdump:
        print("differential.py: needs tcpdump, and a server", file=sys.stderr)
        return 2
    capture = subprocess.Popen([tcpdump, "-i", "lo", "-U", "-s", "0", "-B", "65536", "-w", f"{place}/all.pcap", "tcp portrange 18480-18486"], stderr=subprocess.DEVNULL)
    time.sleep(1.5)
    if capture.poll() is not None:
        stop(servers)
        print("differential.py: tcpdump does not run: it needs root's rights", file=sys.stderr)
        return 2
    asked = {}
    try:
        for port in servers:
            for name, text in shapes():
                asked[ask(port, text)] = (servers[port][0], name)
        time.sleep(1.5)
    finally:
        capture.terminate()
        capture.wait()
        stop(servers)
    served = {}
    for name, _ in servers.values():
        for port, method, target, status in served_by(place, name):
            # A port that the system gave twice is one of several servers.
            if asked.get(port, ("",))[0] == name and status == "200":
                served.setdefault(port, []).append((method, target))
    out = f"{place}/out"
    done = subprocess.run([program, "replay", f"{place}/all.pcap", "--exchanges", "--no-analysis", "--hash-key", f"{place}/key", "--out", out], stdout=subprocess.DEVNULL)
    if done.returncode != 0:
        print(f"differential.py: the replay ended with {done.returncode}", file=sys.stderr)
        return 2
    seen = {}
    for line in open(f"{out}/exchanges.ndjson", encoding="utf8"):
        e = json.loads(line)
        http = e.get("http") or {}
        request, response = http.get("request") or {}, http.get("response") or {}
        if request.get("method"):
            target = (e.get("url") or {}).get("original") or ""
            seen.setdefault(e["source"]["port"], []).append((request["method"], target, response.get("status_code")))
    missing = alone = 0
    for port, (server, name) in asked.items():
        mine = seen.get(port, [])
        answered = [s for s in mine if s[2] == 200]
        alone += max(0, len(served.get(port, [])) - len(answered))
        if len(mine) < len(served.get(port, [])):
            missing += 1
            print(f"{server}, {name}: served {served[port]}, seen {mine}")
    total = sum(map(len, served.values()))
    print(f"{len(asked)} connections to {', '.join(s[0] for s in servers.values())}: {total} requests served, of {alone} the answer stands alone, "
          f"{missing} connections with fewer requests in exchanges.ndjson")
    return 1 if missing or not total else 0


if __name__ == "__main__":
    sys.exit(main())
