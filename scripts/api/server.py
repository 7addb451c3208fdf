"""A console to ask: its server, and who may ask what. The place of one is a directory with `place.json`."""

import http.client
import http.server
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time

PASSWORD = "correct horse battery"


class Answer:
    def __init__(self, status, fields, body):
        self.status, self.body = status, body
        self.headers = {name.lower(): value for name, value in fields.items()}
        self.cookies = [cookie.split(";")[0] for cookie in fields.get_all("set-cookie", [])]

    def cookie(self, name):
        return next(cookie for cookie in self.cookies if cookie.startswith(f"{name}="))

    def kind(self):
        return self.headers.get("content-type", "").split(";")[0].strip()

    def json(self):
        return json.loads(self.body)


class Console:
    """A server of `sidetap serve` on one port, started anew where it is to forget; other processes find it by its directory."""

    def __init__(self, directory):
        self.directory = directory

    def _file(self):
        return os.path.join(self.directory, "place.json")

    def place(self):
        with open(self._file(), encoding="utf-8") as file:
            return json.load(file)

    def start(self, sidetap):
        try:
            port = self.place()["port"]
        except FileNotFoundError:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                port = free.getsockname()[1]
        store = ["store", "--store", "store.db", "reset-users"]
        subprocess.run([sidetap, *store], cwd=self.directory, check=True, stdout=subprocess.DEVNULL)
        said = os.path.join(self.directory, "said")
        with open(said, "w", encoding="utf-8") as log:
            serve = [sidetap, "serve", "--listen", f"127.0.0.1:{port}", "--hash-key", "hash.key"]
            process = subprocess.Popen(serve, cwd=self.directory, stderr=log, start_new_session=True)
        token = ""
        for _ in range(200):
            with open(said, encoding="utf-8") as log:
                text = log.read()
            token = re.search(r"one-time token: (\S+)", text)
            if token or process.poll() is not None:
                break
            time.sleep(0.1)
        if not token:
            raise SystemExit(f"sidetap serve: {text}")
        place = {"port": port, "pid": process.pid, "sidetap": sidetap, "token": token.group(1)}
        with open(self._file() + ".new", "w", encoding="utf-8") as file:
            json.dump(place, file)
        os.replace(self._file() + ".new", self._file())
        return self

    def stop(self):
        try:
            pid = self.place()["pid"]
            os.kill(pid, signal.SIGTERM)
        except (FileNotFoundError, ProcessLookupError):
            return
        for _ in range(100):
            try:
                if os.waitpid(pid, os.WNOHANG)[0]:
                    return
            except ChildProcessError:
                if not os.path.exists(f"/proc/{pid}"):
                    return
            time.sleep(0.05)
        os.kill(pid, signal.SIGKILL)

    def restart(self):
        """The same place with a new one-time token and nobody known."""
        sidetap = self.place()["sidetap"]
        self.stop()
        return self.start(sidetap)

    def url(self):
        return f"http://127.0.0.1:{self.place()['port']}"

    def ask(self, method, path, body=None, headers=None):
        """Asks; a `path` is below /api/v1."""
        connection = http.client.HTTPConnection("127.0.0.1", self.place()["port"], timeout=30)
        headers = dict(headers or {})
        if body is not None:
            headers.setdefault("Content-Type", "application/json")
            body = json.dumps(body)
        try:
            connection.request(method, f"/api/v1{path}", body, headers)
            raw = connection.getresponse()
            return Answer(raw.status, raw.headers, raw.read())
        finally:
            connection.close()

    def session(self, path, body):
        """The headers of a new session."""
        answer = self.ask("POST", path, body)
        if answer.status not in (200, 201):
            raise RuntimeError(f"POST {path}: {answer.status} {answer.body[:200]}")
        return {"Cookie": answer.cookie("sidetap_session"), "X-Sidetap-CSRF": answer.json()["csrf"]}

    def set_up(self, name="root"):
        body = {"token": self.place()["token"], "name": name, "password": PASSWORD}
        return self.session("/setup", body)

    def log_in(self, name, password=PASSWORD):
        return self.session("/session", {"name": name, "password": password})


class Provider(http.server.BaseHTTPRequestHandler):
    """As much of a provider of OpenID Connect as sends a browser on; scripts/sso.sh has a whole one."""

    def do_GET(self):
        here = f"http://127.0.0.1:{self.server.server_port}"
        about = {"issuer": here, "authorization_endpoint": f"{here}/auth", "token_endpoint": f"{here}/token"}
        about["jwks_uri"] = f"{here}/keys"
        body = json.dumps({"keys": []} if self.path == "/keys" else about).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def provider():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"
