#!/usr/bin/env python3
"""What `kill -9` costs a live watch: how old the newest request in its store is at that moment.

  scripts/kill-live.py BINARY [ROUNDS [REQUESTS_PER_SECOND]]

A client and a server talk in network namespaces of their own, `sidetap watch` has a mirror port. It is killed at a moment by chance, 6 to
12 s after it began; then the store has to be whole. Says how old the newest request in it was (least, median, worst), and the same of
the newest one that was judged: a request is judged two seconds of traffic after it came, when its answer is there or late. The same of
the inventory: when the endpoint that they go to was called last. Needs root.
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
    time.sleep(random.uniform(6, 12))
    watch.send_signal(signal.SIGKILL)
    at = time.time()
    watch.wait()
    said = subprocess.run([binary, "store", "--store", store, "check"], capture_output=True, text=True)
    assert said.returncode == 0, said.stdout + said.stderr
    newest = [sqlite3.connect(store).execute(f"SELECT max({column}) FROM {table}").fetchone()[0]
              for column, table in (("last", "cells"), ("last_seen", "endpoints"))]
    assert all(newest), open(f"{work}/{n}.log").read()
    return [at - ns / 1e9 for ns in newest]


with tempfile.TemporaryDirectory() as work:
    others = []
    try:
        wired()
        others.append(inside("s", sys.executable, "-c", SERVER))
        time.sleep(1)
        others.append(inside("c", sys.executable, "-c", CLIENT, str(rate)))
        both = [killed(work, n) for n in range(rounds)]
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
