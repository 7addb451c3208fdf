#!/usr/bin/env python3
"""How the console fares under 5,000 connections, most of which do nothing, or send a head or a body byte by byte.

  scripts/slow-clients.py http://127.0.0.1:8642 [CONNECTIONS [SECONDS]]

Opens them from many addresses of loopback (raise `ulimit -n` first), asks /healthz from another one all the while, and says how long
that took at the median, at p95 and at worst, how many connections were closed, and how many there still are in the end.
"""

import http.client
import random
import selectors
import socket
import sys
import threading
import time
from urllib.parse import urlparse

url = urlparse(sys.argv[1])
connections = int(sys.argv[2]) if len(sys.argv) > 2 else 5_000
seconds = int(sys.argv[3]) if len(sys.argv) > 3 else 30
to = (url.hostname, url.port)
kinds = ["silent", "slow head", "slow body"]
took, refused, done = [], 0, threading.Event()


def asks():
    global refused
    while not done.is_set():
        begun = time.monotonic()
        try:
            c = http.client.HTTPConnection(*to, timeout=10, source_address=("127.0.0.2", 0))
            c.request("GET", "/healthz")
            assert c.getresponse().status == 200
            took.append(time.monotonic() - begun)
            c.close()
        except (OSError, AssertionError, http.client.HTTPException):
            refused += 1
        time.sleep(0.02)


asker = threading.Thread(target=asks)
asker.start()
watch, open_, failed = selectors.DefaultSelector(), {}, 0
for n in range(connections):
    try:
        s = socket.socket()
        s.bind((f"127.0.1.{1 + n % 40}", 0))
        s.settimeout(3)
        s.connect(to)
        s.setblocking(False)
        kind = kinds[n % 3]
        host = f"{url.hostname}:{url.port}"
        head = f"POST /api/v1/session HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n"
        if kind == "slow body":
            s.send(head.encode() + b"\r\n{")
        open_[s] = kind
        watch.register(s, selectors.EVENT_READ)
    except OSError:
        failed += 1
closed = dict.fromkeys(kinds, 0)
end = time.monotonic() + seconds
while time.monotonic() < end and open_:
    for key, _ in watch.select(timeout=0.5):
        s = key.fileobj
        try:
            rest = s.recv(4096)
        except OSError:
            rest = b""
        if not rest:
            closed[open_.pop(s)] += 1
            watch.unregister(s)
            s.close()
    for s in random.sample(sorted(open_, key=id), min(500, len(open_))):
        try:
            if open_[s] != "silent":
                s.send(b"X")
        except OSError:
            pass
done.set()
asker.join()
took.sort()
at = lambda q: f"{1000 * took[min(len(took) - 1, int(q * len(took)))]:.0f} ms" if took else "-"
print(f"{connections} connections, {failed} could not be made; closed: {closed}; still open after {seconds} s: {len(open_)}")
print(f"/healthz meanwhile: {len(took)} answers, {refused} refused; median {at(0.5)}, p95 {at(0.95)}, worst {at(1)}")
sys.exit(1 if refused or not took else 0)
