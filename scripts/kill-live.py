#!/usr/bin/env python3
"""What `kill -9` costs a live watch: how old the newest request in its store is at that moment.

  scripts/kill-live.py BINARY [ROUNDS [REQUESTS_PER_SECOND]]

A client and a server talk in network namespaces of their own, `sidetap watch` has a mirror port. It is killed at a moment by chance, 6 to
12 s after it began; then the store has to be whole. Says how old the newest request in it was (least, median, worst), and the same of
the newest one that was judged: a request is judged two seconds of traffic after it came, when its answer is there or late. The same of
the inventory: when the endpoint that they go to was called last. Judgement comes with the end of each second of traffic; how long after
that end what was judged is in the store is told too. Needs root.
"""

import os
import random
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time

binary = os.path.realpath(sys.argv[1])
rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 20
rate = float(sys.argv[3]) if len(sys.argv) > 3 else 50.0
HELD_S = 2.0
name = f"stk{os.getpid()}"

SERVER = """
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = b'{"ok":true}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("10.92.0.2", 80), Handler).serve_forever()
"""
CLIENT = """
import http.client, sys, time
connection = http.client.HTTPConnection("10.92.0.2", 80)
n, begun = 0, time.monotonic()
while True:
    connection.request("GET", f"/items/{n % 900 + 100}")
    connection.getresponse().read()
    n += 1
    time.sleep(max(0, begun + n / float(sys.argv[1]) - time.monotonic()))
"""


def run(*command):
    subprocess.run(command, check=True)


def inside(space, *command, **more):
    return subprocess.Popen(["ip", "netns", "exec", name + space, *command], **more)


def wired():
    for space in "hcsm":
        run("ip", "netns", "add", name + space)
        run("ip", "netns", "exec", name + space, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1")
    run("ip", "-n", name + "h", "link", "add", "br0", "type", "bridge", "ageing_time", "0")
    run("ip", "-n", name + "h", "link", "set", "br0", "up")
    for space in "csm":
        run("ip", "-n", name + "h", "link", "add", f"v{space}", "type", "veth", "peer", "name", "eth0", "netns", name + space)
        run("ip", "-n", name + "h", "link", "set", f"v{space}", "master", "br0", "up")
        run("ip", "-n", name + space, "link", "set", "eth0", "up")
    run("ip", "-n", name + "c", "addr", "add", "10.92.0.1/24", "dev", "eth0")
    run("ip", "-n", name + "s", "addr", "add", "10.92.0.2/24", "dev", "eth0")


def killed(work, n):
    store, log = f"{work}/{n}.db", open(f"{work}/{n}.log", "w")
    command = [binary, "watch", "-i", "eth0", "--store", store, "--hash-key", f"{work}/key", "--listen", "127.0.0.1:0"]
    watch = inside("m", *command, stdout=log, stderr=log)
    until = time.time() + random.uniform(6, 12)
    delays = written(store, until)
    watch.send_signal(signal.SIGKILL)
    at = time.time()
    watch.wait()
    said = subprocess.run([binary, "store", "--store", store, "check"], capture_output=True, text=True)
    assert said.returncode == 0, said.stdout + said.stderr
    newest = [sqlite3.connect(store).execute(f"SELECT max({column}) FROM {table}").fetchone()[0]
              for column, table in (("last", "cells"), ("last_seen", "endpoints"))]
    assert all(newest), open(f"{work}/{n}.log").read()
    return [at - ns / 1e9 for ns in newest], delays


def written(store, until):
    """How long after the end of a second of traffic what was judged with it is in the store, looked at each 5 ms."""
    reader, before, delays = None, None, []
    while time.time() < until:
        time.sleep(0.005)
        try:
            reader = reader or sqlite3.connect(f"file:{store}?mode=ro", uri=True)
            newest = reader.execute("SELECT max(last) FROM cells").fetchone()[0]
        except sqlite3.OperationalError:
            continue
        if newest and before and newest > before:
            delays.append(time.time() - newest / 1e9 - HELD_S)
        before = newest
    if reader:
        reader.close()
    return delays


with tempfile.TemporaryDirectory() as work:
    others = []
    try:
        wired()
        others.append(inside("s", sys.executable, "-c", SERVER))
        time.sleep(1)
        others.append(inside("c", sys.executable, "-c", CLIENT, str(rate)))
        both, delays = zip(*(killed(work, n) for n in range(rounds)))
    finally:
        for other in others:
            other.kill()
        for space in "hcsm":
            subprocess.run(["ip", "netns", "delete", name + space], check=False)

print(f"{rounds} kills at {rate:g} requests/s, each store whole; load {os.getloadavg()[0]:.1f}")
for what, ages in zip(("request", "call in the inventory"), map(sorted, zip(*both))):
    least, middle, worst = ages[0], statistics.median(ages), ages[-1]
    print(f"newest {what} in the store: {least:.1f} to {worst:.1f} s old, median {middle:.1f} s")
    print(f"  of what was judged by then: {least - HELD_S:.2f} to {worst - HELD_S:.2f} s, median {middle - HELD_S:.2f} s")
all_delays = sorted(d for one in delays for d in one)
print(f"from the end of a second of traffic until what was judged with it is in the store: {all_delays[0]:.2f} to {all_delays[-1]:.2f} s, "
      f"median {statistics.median(all_delays):.2f} s, p95 {all_delays[int(len(all_delays) * 0.95)]:.2f} s ({len(all_delays)} times)")
