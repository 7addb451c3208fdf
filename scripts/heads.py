#!/usr/bin/env python3
"""heads.py PORT PID [MOST_BYTES]: what the heads that clients may choose cost a device with a script of Sidetap's at its door.

Sends heads of 1 byte to MOST_BYTES (15000: what HAProxy takes) to 127.0.0.1:PORT: long values of one byte, many cookies, keys, headers and
parameters, paths and hosts, each eight times. Prints processor time a request of the process PID (of nginx: of its worker) for the costliest,
and every status but 200, 204, 400, 414 and 431. Fails where the process is gone. The device believes X-Forwarded-For and answers itself.
"""
import os
import random
import socket
import sys

PORT, PID, MOST = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 15000
RANDOM = random.Random(7)


def word(n):
    return "".join(RANDOM.choice("abcdefghijklmnopqrstuvwxyz0123456789") for _ in range(n))


def rep(text, n):
    return (text * (n // len(text) + 1))[:n]


def many(n, prefix, between, value, name=lambda: ""):
    out = prefix
    while len(out) < n:
        out += name() + value() + between
    return out


def heads(n):
    """Name of a kind, and method, target, host and further lines of a request."""
    def line(text):
        return "GET", "/x", "shop.example", text + "\r\n"
    for byte in 'a ";=.%/\x80\xff':
        for name, before in (("Cookie", ""), ("Cookie", "session="), ("Authorization", "Bearer a"), ("X-Api-Key", "a"), ("User-Agent", "a"),
                             ("Accept-Language", "a"), ("Accept", "a"), ("Content-Type", "a")):
            yield f"{name} {before}{byte!r}", line(f"{name}: {before}{rep(byte, n)}b")
    for text in ("a;", "a==;", "eyJ"):
        yield f"Cookie {text!r}", line("Cookie: " + rep(text, n))
    for size, name in ((12, "a="), (12, "session="), (8, "session="), (500, "a=")):
        yield f"cookies {name}{size}", line(many(n, "Cookie: ", ";", lambda: word(size), lambda: name))
    yield "cookies, JWTs", line(many(n, "Cookie: ", ";", lambda: "a=eyJ.a." + word(16)))
    for name in ("Cookie: session=", "X-Api-Key: ", "User-Agent: "):
        yield f"lines {name}", line(many(n, "", "\r\n", lambda: word(12), lambda: name).rstrip() or "A: b")
    yield "names with keys", line(many(n, "", "\r\n", lambda: word(8), lambda: f"key{word(3)}: ").rstrip() or "A: b")
    yield "lines", line(many(n, "", "\r\n", lambda: "1", lambda: f"x{word(3)}: ").rstrip() or "A: b")
    yield "a long name", line(rep("key", n) + ": 123456789")
    yield "of all", line("\r\n".join([f"User-Agent: {word(min(n // 6, 1400))}", f"Accept: {word(min(n // 6, 700))}",
                                      f"Authorization: Bearer {word(min(n // 6, 2000))}", many(min(n // 6, 1200), "X-Api-Key: ", ",", lambda: word(20)),
                                      many(min(n // 3, 4000), "Cookie: ", ";", lambda: "session=" + word(100))]))
    for path in ("a", "/", "a/", "a/../", "%41", "%", "?"):
        yield f"path {path!r}", ("GET", "/" + word(5) + rep(path, n), "shop.example", "")
    for name in ("a=", "key="):
        yield f"query {name}", ("GET", many(n, "/?", "&", lambda: word(12), lambda: name), "shop.example", "")
    yield "query key=&", ("GET", "/?" + rep("key=&", n), "shop.example", "")
    yield "host", ("GET", "/x", word(5) + rep("a", n), "")
    yield "host with ports", ("GET", "/x", word(5) + rep(":1", n), "")
    yield "method", (word(5).upper() + rep("A", n), "/x", "shop.example", "")


def used():
    tasks = f"/proc/{PID}/task"
    return sum(int(open(f"{tasks}/{task}/schedstat", encoding="ascii").read().split()[0]) for task in os.listdir(tasks)) / 1e6


def ask(request, times=8):
    before, status, stream = used(), 0, None
    for _ in range(times):
        if stream is None:
            stream = socket.create_connection(("127.0.0.1", PORT), 5)
            stream.settimeout(20)
        try:
            stream.sendall(request)
            answer = stream.recv(65536)
        except OSError:
            answer = b""
        status = int(answer.split()[1]) if answer.startswith(b"HTTP/") else 0
        if status not in (200, 204):
            stream.close()
            stream = None
    return (used() - before) / times, status


def main():
    rows = []
    for n in [n for n in (1, 100, 1000, 4000, 7900, 15000, 32000, 60000) if n <= MOST]:
        for kind, (method, target, host, more) in heads(n):
            head = f"{method} {target} HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-For: 198.51.100.9\r\n{more}\r\n"
            cost, status = ask(head.encode("latin-1"))
            rows.append((cost, kind, n, status))
            if not os.path.exists(f"/proc/{PID}"):
                sys.exit(f"the process is gone: {kind}, {n} bytes")
    rows.sort(reverse=True)
    for cost, kind, n, status in rows[:12]:
        print(f"{cost:7.2f} ms  {n:6} bytes  {status}  {kind}")
    odd = [(kind, n, status) for _, kind, n, status in rows if status not in (200, 204, 400, 414, 431)]
    print(f"{len(rows)} heads; other answers: {odd}")


main()
