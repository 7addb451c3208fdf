"""The servers that differential.py asks, each with a log of what it served."""
import json, os, shutil, socket, subprocess, sys, time


def start_nginx(place):
    program = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")
    if not program:
        return None
    conf = f"""daemon off; master_process off; user root; pid {place}/pid; error_log {place}/error.log; worker_processes 1; events {{}}
http {{ log_format l '$remote_port|$request_method|$request_uri|$status'; access_log {place}/nginx.log l;
client_body_temp_path {place}/t1; proxy_temp_path {place}/t2; fastcgi_temp_path {place}/t3; uwsgi_temp_path {place}/t4; scgi_temp_path {place}/t5;
server {{ listen 127.0.0.1:18480; large_client_header_buffers 4 16k; location / {{ return 200 $request_uri; }} }} }}"""
    open(f"{place}/nginx.conf", "w").write(conf)
    return subprocess.Popen([program, "-c", f"{place}/nginx.conf", "-p", place], stderr=subprocess.DEVNULL)


def start_node(place):
    program = shutil.which("node")
    if not program:
        return None
    script = """const fs=require('fs');require('http').createServer((q,r)=>{q.on('data',()=>{});q.on('end',()=>{
fs.appendFileSync(process.argv[2],q.socket.from+'|'+q.method+'|'+q.url+'|200\\n');r.setHeader('Content-Length',Buffer.byteLength(q.url));r.end(q.url)})}).on('connection',c=>{c.from=c.remotePort}).listen(18481,'127.0.0.1')"""
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
respond {{uri}}
}}
"""
    open(f"{place}/Caddyfile", "w").write(conf)
    return subprocess.Popen([program, "run", "--adapter", "caddyfile", "--config", f"{place}/Caddyfile"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "HOME": place})


PYTHON = """import http.server, sys
most = int(sys.argv[3])
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def do(s):
        n = int(s.headers.get('Content-Length') or 0)
        s.rfile.read(n if most < 0 else min(n, most))
        open(sys.argv[1], 'a').write(f'{s.client_address[1]}|{s.command}|{s.path}|200\\n')
        s.send_response(200); body = s.path.encode('latin1'); s.send_header('Content-Length', str(len(body))); s.end_headers(); s.wfile.write(body)
    do_GET = do_POST = do_PUT = do_DELETE = do
    def log_message(s, *a): pass
http.server.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[2])), H).serve_forever()
"""
WSGI = """import os
def app(e, start):
    e['wsgi.input'].read(int(e.get('CONTENT_LENGTH') or 0) if not e.get('wsgi.input_terminated') else -1)
    open(os.environ['LOG'], 'a').write(f"{e['REMOTE_PORT']}|{e['REQUEST_METHOD']}|{e.get('RAW_URI', e['PATH_INFO'])}|200\\n")
    body = e.get('RAW_URI', e['PATH_INFO']).encode('latin1')
    start('200 OK', [('Content-Length', str(len(body)))])
    return [body]
"""
GO = """package main
import ("fmt"; "io"; "net"; "net/http"; "os")
func main() {
  f, _ := os.Create(os.Args[1])
  http.ListenAndServe("127.0.0.1:18486", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
    io.Copy(io.Discard, r.Body)
    _, port, _ := net.SplitHostPort(r.RemoteAddr)
    fmt.Fprintf(f, "%s|%s|%s|200\\n", port, r.Method, r.RequestURI)
    w.Write([]byte(r.RequestURI))
  }))
}
"""


def start_python(place, name="python", port=18484, most=-1):
    """Python's own server; `most` is how much of content it reads, and all where that is negative."""
    open(f"{place}/{name}.py", "w").write(PYTHON)
    command = [sys.executable, f"{place}/{name}.py", f"{place}/{name}.log", str(port), str(most)]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL)


def start_python_partial(place):
    return start_python(place, "python-partial", 18487, 10)


def start_python_none(place):
    return start_python(place, "python-none", 18488, 0)


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


SERVERS = {18480: "nginx", 18481: "node", 18482: "apache", 18483: "caddy", 18484: "python", 18485: "gunicorn", 18486: "go", 18487: "python-partial", 18488: "python-none"}
STARTS = {"nginx": start_nginx, "node": start_node, "apache": start_apache, "caddy": start_caddy, "python": start_python, "gunicorn": start_gunicorn, "go": start_go, "python-partial": start_python_partial, "python-none": start_python_none}


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
            if port.isdigit():  # Node.js no longer knows that of a client which went before it looked.
                yield int(port), method, target, status


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
