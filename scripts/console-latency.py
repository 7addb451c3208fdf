#!/usr/bin/env python3
"""How long the console's pages wait for their data, and for their first paint.

  scripts/console-latency.py URL ONE-TIME-TOKEN [ROUNDS]

Asks what each page asks, all of a page at once as a browser does, ROUNDS times; says for each page the time until all of it was
there, and for each request its own (median, p95, worst).
"""

import concurrent.futures
import http.client
import json
import statistics
import sys
import time
from urllib.parse import quote, urlparse

url, token = urlparse(sys.argv[1]), sys.argv[2]
rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 40
local = __import__("threading").local()
headers = {"Content-Type": "application/json"}


def ask(method, path, body=None):
    if not getattr(local, "c", None):
        local.c = http.client.HTTPConnection(url.hostname, url.port, timeout=60)
    begun = time.monotonic()
    local.c.request(method, "/api/v1" + path, json.dumps(body) if body is not None else None, headers)
    answer = local.c.getresponse()
    data = answer.read()
    took = time.monotonic() - begun
    return answer, data, took


answer, data, _ = ask("POST", "/setup", {"token": token, "name": "admin", "password": "correct horse battery"})
assert answer.status == 201, data
headers["Cookie"] = answer.headers["set-cookie"].split(";")[0]
headers["X-Sidetap-CSRF"] = json.loads(data)["csrf"]


def rows(path):
    answer, data, _ = ask("GET", path)
    assert answer.status == 200, (path, data[:300])
    return json.loads(data)["rows"]


campaigns = rows("/campaigns?limit=50")
campaign = max(campaigns, key=lambda c: c["members"])["id"]
endpoint = rows("/endpoints?limit=1")[0]["id"]
verdict = rows("/verdicts?limit=1")[0]["id"]
finding = rows("/findings?limit=1")[0]["id"]
host = rows("/hosts")[0]["host"]
last = rows("/verdicts?limit=1&sort=-last_seen")[0]["last_seen"]
deep = ""
for _ in range(20):
    page = json.loads(ask("GET", f"/verdicts?limit=100{deep}")[1])
    deep = f"&cursor={quote(page['next'])}"
later = ""
for _ in range(10):
    page = json.loads(ask("GET", f"/search?q=malicious&limit=50{later}")[1])
    later = f"&cursor={quote(page['next'])}"
pages = {
    "overview": ["/overview", "/traffic", "/changes?limit=20", "/campaigns?limit=6", "/endpoints?limit=6", "/health"],
    "inventory": ["/hosts", "/endpoints?limit=100", "/endpoints?limit=100&sort=-calls"],
    "inventory, filtered": [f"/endpoints?host={host}&limit=100", "/endpoints?standing=shadow&limit=100", "/endpoints?q=orders&limit=100"],
    "endpoint": [f"/endpoints/{endpoint}", f"/findings?endpoint={endpoint}&limit=50", f"/sensitive?endpoint={endpoint}&limit=50"],
    "campaigns": ["/campaigns?limit=100", "/campaigns?limit=100&sort=-last_seen", "/campaigns?limit=100&q=scraping"],
    "campaign": [f"/campaigns/{campaign}", f"/campaigns/{campaign}/members?limit=100", f"/verdicts?campaign={campaign}&limit=100"],
    "campaign's exchanges": [f"/campaigns/{campaign}/exchanges"],
    "actors": ["/verdicts?limit=100", "/verdicts?limit=100&sort=-requests", "/verdicts?limit=100&intent=malicious"],
    "actors, filtered": ["/verdicts?limit=100&class=price-scraping", "/verdicts?limit=100&q=198", "/verdicts?limit=100&ip=20.18.0.0/16"],
    "actors, page 21": [f"/verdicts?limit=100{deep}"],
    "actor": [f"/verdicts/{verdict}", f"/verdicts/{verdict}/exchanges", f"/verdicts/{verdict}/what-if"],
    "sensitive": ["/sensitive/summary", "/sensitive?limit=100"],
    "findings": ["/findings/summary", "/findings?limit=100", "/findings?limit=100&status=open", "/findings?limit=100&severity=high"],
    "finding": [f"/findings/{finding}", f"/findings/{finding}/exchanges"],
    "policies": ["/policies", "/approvals", "/allow"],
    "mitigation": ["/mitigation", "/mitigation/entries", "/actions?limit=100", "/audit?limit=100"],
    "search": ["/search?q=checkout", "/search?q=198.18.203", "/search?q=scraping"],
    "search, a word of very many": ["/search?q=malicious&limit=50"],
    "search, words of very many": ["/search?q=malicious%20ip&limit=50"],
    "search, a part of an address": ["/search?q=198&limit=50"],
    "search, page 11": [f"/search?q=malicious&limit=50{later}"],
    "settings": ["/settings", "/health", "/users", "/tokens"],
}
pool = concurrent.futures.ThreadPoolExecutor(6)
slow = 0
print(f"| page | requests | median | p95 | worst | slowest request (p95) |\n|---|---|---|---|---|---|")
for name, paths in pages.items():
    whole, each = [], {p: [] for p in paths}
    for n in range(rounds + 1):
        begun = time.monotonic()
        answers = list(pool.map(lambda p: (p, *ask("GET", p)), paths))
        if n:  # the first fills caches
            whole.append(time.monotonic() - begun)
        for path, answer, data, took in answers:
            assert answer.status in (200, 409), (path, answer.status, data[:300])
            if n:
                each[path].append(took)
    at = lambda all, q: sorted(all)[min(len(all) - 1, int(q * len(all)))] * 1000
    path = max(each, key=lambda p: at(each[p], 0.95))
    shown = path.replace(campaign, "…").replace(endpoint, "…").replace(verdict, "…").replace(finding, "…").split("&cursor")[0]
    worst = at(each[path], 0.95)
    slow += worst >= 200
    print(f"| {name} | {len(paths)} | {statistics.median(whole) * 1000:.0f} ms | {at(whole, 0.95):.0f} ms | {max(whole) * 1000:.0f} ms | `{shown}` {worst:.0f} ms |", flush=True)
print(f"\n{slow} pages with a request at or above 200 ms at p95; {rounds} rounds")
sys.exit(1 if slow else 0)
