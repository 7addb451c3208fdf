#!/usr/bin/env python3
"""differential.py [--bin FILE] [--dir DIR]: sends odd requests to real servers and compares what each of them says that it served
with what Sidetap saw on the wire.

nginx and Node.js run on loopback (those that are installed), tcpdump captures. Each shape goes first on a connection of its own, and two
plain requests follow: whatever the server served must stand in exchanges.ndjson with its answer. Prints each connection where something
is missing; exit status 1 where there is one, 2 where nothing could be compared. Needs root's rights for tcpdump.
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


def shapes():
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
    for name in ("f", "second1", "second2"):
        open(f"{place}/html/{name}", "w").write("ok")
    for log in ("nginx.log", "node.log"):
        open(f"{place}/{log}", "w").close()
    servers = {18480: ("nginx", start_nginx(place)), 18481: ("node", start_node(place))}
    servers = {port: s for port, s in servers.items() if s[1]}
    tcpdump = shutil.which("tcpdump", path=os.environ["PATH"] + ":/usr/sbin")
    if not servers or not tcpdump:
        print("differential.py: needs tcpdump, and nginx or node", file=sys.stderr)
        return 2
    capture = subprocess.Popen([tcpdump, "-i", "lo", "-U", "-s", "0", "-B", "65536", "-w", f"{place}/all.pcap", "tcp port 18480 or tcp port 18481"], stderr=subprocess.DEVNULL)
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
    for log in ("nginx.log", "node.log"):
        for line in open(f"{place}/{log}", encoding="latin1"):
            port, method, target, status = line.rstrip("\n").split("|")[:4]
            if int(port) in asked and status == "200":
                served.setdefault(int(port), []).append((method, target))
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
    missing = 0
    for port, (server, name) in asked.items():
        mine = seen.get(port, [])
        answered = [s for s in mine if s[2] == 200]
        if len(answered) < len(served.get(port, [])):
            missing += 1
            print(f"{server}, {name}: served {served[port]}, seen {mine}")
    total = sum(map(len, served.values()))
    print(f"{len(asked)} connections to {', '.join(s[0] for s in servers.values())}: {total} requests served, {missing} connections with less in exchanges.ndjson")
    return 1 if missing or not total else 0


if __name__ == "__main__":
    sys.exit(main())
