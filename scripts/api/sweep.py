"""What schemathesis does not ask: who may and who may not, lock-out, the stream's events, the copy of the store. Each gives what it looked
at in words, and what was wrong."""

import http.client
import io
import itertools
import json
import os
import select
import socket
import sqlite3
import subprocess
import threading
import time

import jsonschema_rs

from server import PASSWORD, Answer

ROLES = ["viewer", "analyst", "operator", "admin"]
METHODS = ("get", "post", "put", "patch", "delete")


def operations(description):
    return [(m.upper(), p, o) for p, item in description["paths"].items() for m, o in item.items() if m in METHODS]


def described(console):
    return console.ask("GET", "/openapi.json").json()


def breach(description, operation, answer):
    """What an answer has that the description does not know."""
    responses = operation["responses"]
    known = responses.get(str(answer.status), responses["default"] if answer.status >= 400 else None)
    if answer.status >= 500 or known is None:
        return f"status {answer.status}"
    content = known.get("content", {})
    if content and answer.kind() not in content:
        return f"{answer.status} with {answer.kind()}"
    if answer.kind() not in ("application/json", "application/problem+json"):
        return None
    value = answer.json()
    if answer.status >= 400 and value.get("status") != answer.status:
        return f"{answer.status} says that it is {value.get('status')}"
    wrong = fits(description, content[answer.kind()]["schema"], value)
    return wrong and f"{answer.status}: {wrong}"


def fits(description, schema, value):
    """What is wrong with a value by a schema of the description."""
    whole = {"components": description["components"], "allOf": [schema]}
    error = next(jsonschema_rs.Draft202012Validator(whole).iter_errors(value), None)
    return error and error.message[:200]


def rights(console, _options):
    """Nobody, nobody known, each role, a session without its header, a token that may only read: each operation."""
    description, wrong, asked = described(console), [], 0
    root = console.set_up()

    def user(name, role):
        console.ask("POST", "/users", {"name": name, "role": role, "password": PASSWORD}, root)
        return console.log_in(name)

    def token(session, **more):
        answer = console.ask("POST", "/tokens", {"name": "t", "role": "admin", **more}, session).json()
        return answer, {"Authorization": f"Bearer {answer['token']}"}

    sessions = {role: user(role, role) for role in ROLES}
    gone, out, off, less = (user(name, "admin") for name in ("gone", "out", "off", "less"))
    removed, by_removed = token(root)
    _, by_gone = token(gone)
    _, read_only = token(root, read_only=True)
    _, whole = token(root)
    console.ask("DELETE", f"/tokens/{removed['id']}", None, root)
    console.ask("DELETE", "/users/gone", None, root)
    console.ask("PATCH", "/users/off", {"disabled": True}, root)
    console.ask("PATCH", "/users/less", {"role": "viewer"}, root)
    console.ask("DELETE", "/session", None, out)
    nobody = {
        "no credentials": {},
        "a made-up token": {"Authorization": "Bearer st_made-up"},
        "another scheme": {"Authorization": "Basic cm9vdDpyb290"},
        "a made-up session": {"Cookie": "sidetap_session=made-up"},
        "two sessions": {"Cookie": root["Cookie"] + "; " + root["Cookie"]},
        "a removed token": by_removed,
        "a removed user's token": by_gone,
        "a removed user's session": gone,
        "a disabled user's session": off,
        "a session that was logged out": out,
    }
    for method, path, operation in operations(description):
        short = path.removeprefix("/api/v1").replace("{", "").replace("}", "")
        opened = operation.get("security") == []
        body = {} if "requestBody" in operation else None

        def ask(who, headers, statuses, kind=None):
            nonlocal asked
            asked += 1
            answer = first_of(console, method, short, body, headers)
            said = breach(description, operation, answer)
            if answer.status not in statuses:
                said = said or f"{answer.status} in place of {statuses}"
            elif kind and answer.json()["type"] != f"urn:sidetap:problem:{kind}":
                said = said or f"{answer.json()['type']} in place of {kind}"
            elif answer.status == 401 and "www-authenticate" not in answer.headers:
                said = said or "401 without WWW-Authenticate"
            if said:
                wrong.append(f"{method} {path}, {who}: {said}")

        if opened:
            for who, headers in nobody.items():
                ask(who, headers, [200, 303, 400, 409])
            continue
        for who, headers in nobody.items():
            ask(who, headers, [401], "not-logged-in")
        changes = method != "GET"
        wanted = operation["description"].removeprefix("Takes the role ").rstrip(".")
        fine = [*range(200, 300), 400, 404, 409]
        for role in ROLES:
            low = ROLES.index(role) < ROLES.index(wanted)
            # Who logs out is out: with a session of that alone.
            session = console.log_in(role) if path.endswith("/session") else sessions[role]
            ask(role, session, [403] if low else fine, "role" if low else None)
            if changes and not low:
                ask(f"{role} without its header", {"Cookie": sessions[role]["Cookie"]}, [403], "csrf")
        if wanted != "viewer":
            ask("an administrator who is a viewer now", less, [401, 403])
        if changes:
            ask("a token that may only read", read_only, [403], "role")
        else:
            ask("a token that may only read", read_only, fine)
        ask("a token", whole, [*fine, 403] if short in ("/tokens", "/session/password") else fine)
    return f"{asked} requests by who may and who may not", wrong


def first_of(console, method, path, body, headers):
    """An answer, of an endless one what comes first."""
    if path != "/events":
        return console.ask(method, path, body, headers)
    with_stream = Stream(console, headers)
    try:
        return with_stream.answer
    finally:
        with_stream.close()


def lockout(console, _options):
    """Ten wrong passwords lock a name out from here, and nobody else, nor a browser that it is known in; wrong one-time tokens lock set-up."""
    description, wrong = described(console), []
    log_in = description["paths"]["/api/v1/session"]["post"]
    set_up = description["paths"]["/api/v1/setup"]["post"]

    def expect(what, operation, answer, status, kind=None):
        said = breach(description, operation, answer)
        if answer.status != status or (kind and not answer.json()["type"].endswith(f":{kind}")):
            said = said or f"{answer.status} {answer.body[:100]!r} in place of {status} {kind}"
        if status == 429 and not answer.headers.get("retry-after", "").isdigit():
            said = said or "429 without Retry-After"
        if said:
            wrong.append(f"{what}: {said}")

    root = console.set_up()
    for name in ("anna", "bert"):
        console.ask("POST", "/users", {"name": name, "role": "viewer", "password": PASSWORD}, root)
    good = {"name": "anna", "password": PASSWORD}
    first = console.ask("POST", "/session", good)
    known = first.cookie("sidetap_known")
    for n in range(10):
        answer = console.ask("POST", "/session", {**good, "password": "not this one"})
        expect(f"wrong password {n + 1}", log_in, answer, 401, "not-logged-in")
    expect("the right one after ten", log_in, console.ask("POST", "/session", good), 429, "locked-out")
    expect("another name", log_in, console.ask("POST", "/session", {**good, "name": "bert"}), 200)
    expect("a browser that is known", log_in, console.ask("POST", "/session", good, {"Cookie": known}), 200)
    held = {"Cookie": first.cookie("sidetap_session")}
    me = description["paths"]["/api/v1/session"]["get"]
    expect("a session that there was", me, console.ask("GET", "/session", None, held), 200)
    console.restart()
    body = {"token": "made-up", "name": "root", "password": PASSWORD}
    for n in range(10):
        expect(f"wrong one-time token {n + 1}", set_up, console.ask("POST", "/setup", body), 403, "setup-required")
    body["token"] = console.place()["token"]
    expect("the right one after ten", set_up, console.ask("POST", "/setup", body), 429, "locked-out")
    console.restart()
    body["token"] = console.place()["token"]
    expect("the right one", set_up, console.ask("POST", "/setup", body), 201)
    expect("the right one again", set_up, console.ask("POST", "/setup", body), 409, "conflict")
    return "28 log-ins and set-ups, good and bad", wrong


class Stream:
    """The events of GET /events, each waited for a while and no longer. Of HTTP/1.0 the body is what comes until the end."""

    def __init__(self, console, headers):
        self.socket = socket.create_connection(("127.0.0.1", console.place()["port"]), timeout=10)
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self.socket.sendall(f"GET /api/v1/events HTTP/1.0\r\nHost: localhost\r\n{lines}\r\n".encode())
        self.buffer = b""
        while b"\r\n\r\n" not in self.buffer and self.more(10):
            pass
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        status, _, fields = head.partition(b"\r\n")
        fields = http.client.parse_headers(io.BytesIO(fields + b"\r\n\r\n"))
        status = int(status.split()[1])
        while status != 200 and self.more(10):
            pass
        self.answer = Answer(status, fields, b"" if status == 200 else self.buffer)

    def more(self, seconds):
        """Whether there was more within this time."""
        if not select.select([self.socket], [], [], max(seconds, 0))[0]:
            return False
        data = self.socket.recv(65536)
        self.buffer += data
        self.ended = not data
        return bool(data)

    def events(self, seconds):
        """(name, data, id) of each until the time is over or it ends."""
        end = time.monotonic() + seconds
        self.ended = False
        while True:
            while b"\n\n" in self.buffer:
                event, _, self.buffer = self.buffer.partition(b"\n\n")
                fields = dict(line.partition(": ")[::2] for line in event.decode().split("\n") if line[:1] != ":")
                if fields:
                    yield fields.get("event"), fields.get("data", ""), fields.get("id")
            left = end - time.monotonic()
            if left <= 0 or self.ended:
                return
            self.more(left)

    def close(self):
        self.socket.close()


def stream(console, options):
    """Each event that the description names but `stats`, which there is beside a watch only, by its schema; where it goes on; when it ends."""
    description, wrong, seen = described(console), [], {}
    operation = description["paths"]["/api/v1/events"]["get"]
    schemas = {}
    for one in operation["responses"]["200"]["content"]["text/event-stream"]["schema"]["oneOf"]:
        schemas[one["properties"]["event"]["const"]] = one["properties"]["data"]["contentSchema"]
    root = console.set_up()
    opened = Stream(console, root)
    said = breach(description, operation, opened.answer)
    if said:
        wrong.append(said)
    fill = [options.sidetap, "replay", "--hash-key", "hash.key", "--store", "store.db", options.capture]
    filled = subprocess.Popen(fill, cwd=console.directory, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def push():
        filled.wait()
        console.ask("PUT", "/mitigation/devices/web/mode", {"mode": "enforce"}, root)
        console.ask("POST", "/mitigation/push", {"force": True}, root)

    pushing = threading.Thread(target=push)
    pushing.start()
    wanted, last = set(schemas) - {"stats"}, None
    for name, data, number in opened.events(120):
        seen[name] = seen.get(name, 0) + 1
        last = number or last
        if name not in schemas:
            wrong.append(f"an event {name} that is not described")
        elif said := fits(description, schemas[name], json.loads(data)):
            wrong.append(f"{name}: {said}")
        if wanted <= set(seen):
            break
    pushing.join()
    opened.close()
    wrong += [f"no event {name} within two minutes" for name in sorted(wanted - set(seen))]
    for number in (last, "not.a.number", "9" * 400):
        again = Stream(console, {**root, "Last-Event-ID": number or ""})
        names = [name for name, _, _ in itertools.islice(again.events(5), 1)]
        if again.answer.status != 200 or names != ["hello"]:
            wrong.append(f"Last-Event-ID {number!r:.40}: {again.answer.status} {names}")
        again.close()
    console.ask("POST", "/users", {"name": "anna", "role": "viewer", "password": PASSWORD}, root)
    ending = Stream(console, console.log_in("anna"))
    began, ended = time.monotonic(), False
    for _ in ending.events(10):
        console.ask("DELETE", "/users/anna", None, root)
        ended = True
    if not ended or time.monotonic() - began > 8:
        wrong.append("a stream that outlives its user")
    held = [Stream(console, root) for _ in range(9)]
    statuses = [s.answer.status for s in held]
    if sorted(statuses) != [200] * 8 + [503] or held[-1].answer.kind() != "application/problem+json":
        wrong.append(f"nine streams of a user: {statuses}")
    for one in held:
        one.close()
    counts = ", ".join(f"{n} {name}" for name, n in sorted(seen.items()))
    return f"events by their schemas: {counts}; not stats", wrong


def copy(console, _options):
    """The copy of the store is one: whole, with the same rows, and without anything that lets one in."""
    root, wrong = console.set_up(), []
    answer = console.ask("POST", "/settings/backup", None, root)
    if (answer.status, answer.kind()) != (200, "application/vnd.sqlite3"):
        return "", [f"{answer.status} {answer.kind()}"]
    path = os.path.join(console.directory, "copy.db")
    with open(path, "wb") as file:
        file.write(answer.body)
    with sqlite3.connect(path) as store:
        whole = store.execute("PRAGMA integrity_check").fetchone()[0]
        verdicts = store.execute("SELECT count(*) FROM verdicts").fetchone()[0]
    there = console.ask("GET", "/verdicts?limit=1", None, root).json()
    if whole != "ok" or verdicts < there["total"] or not verdicts:
        wrong.append(f"integrity {whole}, {verdicts} verdicts of {there['total']}")
    return f"{len(answer.body)} bytes, {verdicts} verdicts", wrong
