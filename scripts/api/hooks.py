"""What schemathesis puts into its requests so that they get somewhere: credentials that hold, things that exist, bodies that mean
something. Every third request of an operation is made good in all of it, the others have the credentials alone, so what is made up is
sent as well. Each answer is a line of the file $SIDETAP_API/answers."""

import collections
import json
import os
import threading
import uuid

import schemathesis
from schemathesis.core.parameters import ParameterLocation
from schemathesis.generation import GenerationMode

from server import PASSWORD, Console

DIRECTORY = os.environ["SIDETAP_API"]
CONSOLE = Console(DIRECTORY)
PASS = os.environ["SIDETAP_API_PASS"]
SPEC = "openapi: 3.0.3\ninfo: {title: t, version: '1'}\npaths: {/a: {get: {responses: {'200': {description: ok}}}}}\n"
ALLOW = {"kind": "ip", "value": "203.0.113.7", "reason": "a test"}
TEMPLATE = {"host": "shop.example", "method": "GET", "template": "/items/{sku}"}
calls = collections.Counter()
held = {}
restarts = 0


def root():
    """The administrator that no request is made with: he makes those that are lost."""
    with open(os.path.join(DIRECTORY, "root.json"), encoding="utf-8") as file:
        return json.load(file)


def asked(method, path, body=None):
    answer = CONSOLE.ask(method, path, body, root())
    if answer.status >= 300:
        raise RuntimeError(f"{method} {path}: {answer.status} {answer.body[:300]}")
    return answer.json() if answer.body else {}


def new_user(role="admin"):
    name = f"user-{uuid.uuid4().hex[:12]}"
    asked("POST", "/users", {"name": name, "role": role, "password": PASSWORD})
    return name


def new_token(session, role="admin"):
    answer = CONSOLE.ask("POST", "/tokens", {"name": "t", "role": role}, session)
    if answer.status != 201:
        raise RuntimeError(f"POST /tokens: {answer.status} {answer.body[:300]}")
    return answer.json()


def caller():
    """An administrator who may be lost, by what he logs in and asks; a new one where he was."""
    if "caller" not in held:
        name = new_user()
        held["caller"] = {"name": name, "password": PASSWORD, "session": CONSOLE.log_in(name)}
    return held["caller"]


def rows(path, field):
    if path not in held:
        held[path] = [row[field] for row in asked("GET", path)["rows"]]
    if not held[path]:
        raise RuntimeError(f"the store has nothing for GET {path}")
    return held[path]


def any_of(path, field, n):
    all_of = rows(path, field)
    return all_of[n % len(all_of)]


def finding(_n):
    return asked("GET", "/findings?status=open,assigned,accepted,fixed&limit=1")["rows"][0]["id"]


def approval(_n):
    asked("PUT", "/mitigation/kill-switch", {"on": False})
    asked("PUT", "/mitigation/devices/web/mode", {"mode": "approve"})
    waiting = asked("GET", "/approvals?status=pending&limit=1")["rows"]
    if not waiting:
        asked("POST", "/mitigation/undo", {"all": True})
        asked("POST", "/mitigation/push", {"force": True})
        waiting = asked("GET", "/approvals?status=pending&limit=1")["rows"]
    return waiting[0]["id"] if waiting else "none"


def exchange(n):
    if "exchanges" not in held:
        verdicts = [asked("GET", f"/verdicts/{v}")["verdict"] for v in rows("/verdicts?intent=malicious", "id")[:20]]
        named = [e for verdict in verdicts for reason in verdict["reasons"] for e in reason["evidence"]]
        missing = asked("GET", "/exchanges?ids=" + ",".join(dict.fromkeys(named[:100])))["missing"]
        held["exchanges"] = [e for e in dict.fromkeys(named[:100]) if e not in missing]
    return held["exchanges"][n % len(held["exchanges"])]


def spec(n):
    asked("PUT", f"/specs/spec-{n % 4}", {"text": SPEC})
    return f"spec-{n % 4}"


# What is at a path's parameter: something that there is when the request is made.
THINGS = {
    "/allow/{id}": lambda n: str(asked("POST", "/allow", {**ALLOW, "value": f"203.0.113.{n % 250}"})["id"]),
    "/approvals/{id}/": approval,
    "/campaigns/{id}": lambda n: any_of("/campaigns", "id", n),
    "/endpoints/{id}": lambda n: any_of("/endpoints", "id", n),
    "/exchanges/{id}": exchange,
    "/findings/{id}": finding,
    "/hosts/{host}": lambda n: any_of("/hosts?sort=-calls", "host", n),
    "/mitigation/devices/{name}": lambda _: "web",
    "/sensitive/{id}": lambda n: any_of("/sensitive", "id", n),
    "/specs/{name}": spec,
    "/templates/{id}": lambda n: str(asked("POST", "/templates", {**TEMPLATE, "template": f"/n{uuid.uuid4().hex}/{{x}}"})["id"]),
    "/tokens/{id}": lambda n: new_token(root() if n % 2 else caller()["session"])["id"],
    # Now and then himself.
    "/users/{name}": lambda n: caller()["name"] if n % 5 == 4 else new_user("viewer"),
    "/verdicts/{id}": lambda n: any_of("/verdicts", "id", n),
}


def policies():
    now = asked("GET", "/policies")
    return {"text": now["text"], "comment": "a test", "version": now["version"]}


def with_device():
    asked("PUT", "/mitigation/kill-switch", {"on": False})
    return {"force": True}


# Bodies that mean something; those that are left out are made up well enough.
BODIES = {
    "POST /allow": lambda n: {**ALLOW, "value": f"198.51.100.{n % 250}"},
    "POST /campaigns/{id}/accounts/match": lambda _: {"accounts": ["anna@example.org"]},
    "POST /findings/bulk": lambda n: {"ids": [finding(n)], "status": "assigned", "assignee": "root"},
    "PATCH /findings/{id}": lambda _: {"status": "assigned", "assignee": "root", "note": "a test"},
    "PUT /mitigation/devices/{name}/mode": lambda _: {"mode": "approve"},
    "POST /mitigation/plan": lambda _: with_device(),
    "POST /mitigation/push": lambda _: with_device(),
    "POST /mitigation/redo": lambda _: {"all": True},
    "POST /mitigation/undo": lambda _: {"all": with_device()["force"]},
    "POST /policies/simulate": lambda _: {"text": None},
    "PUT /policies": lambda _: policies(),
    "POST /settings/forget": lambda _: {"kind": "ip", "value": "203.0.113.9"},
    "PATCH /settings/retention": lambda _: {"rows": 1_000_000},
    "PUT /specs/{name}": lambda _: {"text": SPEC},
    "POST /templates": lambda n: {**TEMPLATE, "template": f"/m{uuid.uuid4().hex}/{{x}}"},
    "POST /templates/check": lambda n: {**TEMPLATE, "template": f"/m{uuid.uuid4().hex}/{{x}}"},
    "POST /tokens": lambda n: {"name": "t", "role": "viewer", "read_only": n % 2 == 0},
    "POST /users": lambda _: {"name": f"user-{uuid.uuid4().hex[:12]}", "role": "viewer", "password": PASSWORD},
    "PATCH /users/{name}": lambda n: [{"disabled": True}, {"role": "analyst"}, {"password": PASSWORD, "remove_tokens": True}][n % 3],
    "POST /session": lambda _: {"name": caller()["name"], "password": caller()["password"]},
    "PUT /session/password": lambda _: {"old": caller()["password"], "new": PASSWORD + "!"},
    "POST /setup": lambda _: {"token": CONSOLE.place()["token"], "name": "root", "password": PASSWORD},
}


def short(case):
    return f"{case.method.upper()} {case.operation.path.removeprefix('/api/v1')}"


def name_credentials(case, n):
    """A session in two of three requests and a token in the third, where both will do."""
    if "/setup" in case.path or short(case) == "POST /session" or "/sso" in case.path:
        return
    session_only = short(case) in ("POST /tokens", "PUT /session/password", "DELETE /session")
    if PASS == "events":
        # A stream ends with the right that opened it: that way this one ends too.
        made = new_token(root(), "viewer")
        threading.Timer(1.0, lambda: asked("DELETE", f"/tokens/{made['id']}")).start()
        case.headers["Authorization"] = f"Bearer {made['token']}"
    elif n % 3 == 2 and not session_only:
        me = caller()
        if "token" not in me:
            me["token"] = new_token(me["session"])["token"]
        case.headers["Authorization"] = f"Bearer {me['token']}"
    else:
        session = caller()["session"]
        name, _, value = session["Cookie"].partition("=")
        case.cookies = {**(case.cookies or {}), name: value}
        case.headers["X-Sidetap-CSRF"] = session["X-Sidetap-CSRF"]


def is_about_credentials(meta):
    """Whether what it is to be refused for are the headers and cookies: only credentials are sent in those."""
    return meta is not None and any(meta.is_negative_at(place) for place in (ParameterLocation.HEADER, ParameterLocation.COOKIE))


@schemathesis.hook
def before_call(context, case, kwargs):
    n = calls[short(case)]
    calls[short(case)] += 1
    # How long a body is, is HTTP's matter: what is no HTTP is refused before there is an operation.
    for framing in ("Content-Length", "Transfer-Encoding"):
        (case.headers or {}).pop(framing, None)
    good = n % 3 == 0
    if not good and is_about_credentials(case.meta):
        return
    # What schemathesis makes up for a cookie or a header of ours would stand beside what holds.
    for made_up in (case.cookies, case.headers):
        for name in ("sidetap_session", "Authorization", "X-Sidetap-CSRF"):
            (made_up or {}).pop(name, None)
    name_credentials(case, n)
    if not good:
        return
    n //= 3
    case.headers.pop("x-schemathesis-unknown-property", None)
    for path, thing in THINGS.items():
        if path in case.operation.path:
            name = path[path.index("{") + 1 : path.index("}")]
            # Anew: other requests are made of the same.
            case.path_parameters = {**case.path_parameters, name: thing(n)}
    if short(case) == "GET /exchanges":
        case.query = {"ids": exchange(n)}
    elif short(case) == "GET /search":
        case.query = {"q": "shop"}
    elif case.method.upper() == "GET":
        case.query = {}
    if short(case) in BODIES:
        case.body = BODIES[short(case)](n)
        case.media_type = "application/json"
    elif short(case) == "GET /session/sso/callback" and n % 2:
        case.query = {"state": "s", "code": "c"}
    # It was perhaps to be refused, and is not any more; schemathesis would look anew, and take an id of digits for a number.
    case._sync_validated_hashes()
    if case.meta is not None:
        case.meta.generation.mode = GenerationMode.POSITIVE
        for component in case.meta.components.values():
            component.mode = GenerationMode.POSITIVE


@schemathesis.hook
def after_call(context, case, response):
    global restarts
    with open(os.path.join(DIRECTORY, "answers"), "a", encoding="utf-8") as file:
        file.write(f"{case.method.upper()} {case.operation.path}\t{response.status_code}\t{PASS}\n")
    op, status = short(case), response.status_code
    if op == "PUT /session/password" and status == 204:
        held["caller"]["password"] = case.body["new"]
    if status == 401 or op == "DELETE /session" or (op == "PUT /session/password" and status == 429):
        # Lost: logged out, removed, disabled, or his token is.
        held.pop("caller", None)
    if op == "POST /setup" and status in (201, 429) and restarts < 12:
        restarts += 1
        CONSOLE.restart()
