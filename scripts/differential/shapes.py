"""What differential.py sends: odd first lines, fields, ends of content, and requests within content."""
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


UPGRADE = "GET /f HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"
DUMMY = "POST /f HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 900000\r\n\r\n"
CHUNKED = "POST /f HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
GET = "GET /f HTTP/1.1\r\nHost: x\r\n\r\n"
# What some servers drop, read to another end, or take no content of: what follows is content for some and requests for others.
HIDING = [
    ("upgrade, content", UPGRADE + DUMMY), ("upgrade, two", UPGRADE + GET + DUMMY), ("upgrade, one", UPGRADE + GET),
    ("upgrade, zeros", UPGRADE + DUMMY + "\0" * 3000), ("content", DUMMY), ("content that begins", DUMMY + "xxx"),
    ("upgrade with content", UPGRADE[:-2] + "Content-Length: 90000\r\n\r\n"), ("upgrade with chunks", UPGRADE[:-2] + "Transfer-Encoding: chunked\r\n\r\n"),
    ("connect, content", "CONNECT /f HTTP/1.1\r\nHost: x\r\n\r\n" + DUMMY), ("connect with content", "CONNECT x:1 HTTP/1.1\r\nHost: x\r\nContent-Length: 9000\r\n\r\n"),
    ("chunk, LF", CHUNKED + "5\nhello\r\n0\r\n\r\n"), ("chunk, extension, LF", CHUNKED + "5;a\nhello\r\n0\r\n\r\n"),
    ("chunk, LF behind it", CHUNKED + "5\r\nABCDE\nf000000\r\n\r\n"), ("chunk, two bytes behind it", CHUNKED + "5\r\nABCDEXX0\r\n\r\n"),
    ("trailer, LF", CHUNKED + "0\r\nX: y\n\n" + DUMMY), ("trailer, CR", CHUNKED + "0\r\n\r\r\n" + DUMMY), ("no size", CHUNKED + ";a\r\n\r\n" + DUMMY),
    ("no version", "POST /f\r\n\r\n"), ("upgrade, no version", UPGRADE + DUMMY + "POST /f\r\n\r\n"), ("codings", "POST /f HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n"),
    ("long head", f"POST /f HTTP/1.1\r\nHost: x\r\nX: {'y' * 70000}\r\nTransfer-Encoding: chun ked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("many fields", "GET /f HTTP/1.1\r\nHost: x\r\n" + "Content-Length: 0\r\n" * 90 + "\r\n"), ("nbsp", "GET\xa0/f\xa0HTTP/1.1\r\nHost: x\r\n\r\n"),
    ("expect, no content", GET[:-2] + "Expect: 100-continue\r\n\r\n" + DUMMY), ("1.0, chunked", CHUNKED.replace("1.1", "1.0") + "0\r\n\r\n"),
]


# What a request within content asks for, and what is asked for behind it. No two are of one length: an answer says what it answers by its size.
INNER, BEHIND = "/evil", ("/second", "/third/one", "/fourth/time")
TARGETS = ("/f", INNER, *BEHIND)
EVIL = f"GET {INNER} HTTP/1.1\r\nHost: x\r\n\r\n"
BEGUN = f"GET {INNER} HTTP/1.1\r\nHost: x\r\nX: "
TE, CL = "Transfer-Encoding", "Content-Length"
CODINGS = [
    f"{TE}: chunked", f"{TE}:chunked", f"{TE}:  chunked ", f"{TE}:\tchunked", f"{TE}: ,chunked", f"{TE}: chunked,", f"{TE}: gzip, chunked",
    f"{TE}: chunked, identity", f"{TE}: identity, chunked", f'{TE}: "chunked"', f"{TE}: chunked;q=1", f"{TE}: chunked\r\n{TE}: identity",
    f"{TE}: identity\r\n{TE}: chunked", f"{TE}: chunked\r\n{TE}: chunked", f" {TE}: chunked", f"{TE} : chunked", f"{TE}\t: chunked",
    f"{TE}:\r\n\tchunked", f"Foo: bar\n{TE}: chunked", f"Foo: bar\r{TE}: chunked", f"{TE}: chunked\0", f"{TE}\0: chunked", f"{TE}: \fchunked",
    f"{TE}: xchunked", f"{TE}: identity", "Transfer_Encoding: chunked", f":x\r\n{TE}: chunked", f"{TE}:\xa0chunked",
]
ENDS = [
    "0;x\r\n\r\n", "0\n\r\n", "0\r\n\n", "0 \r\n\r\n", "0" * 17 + "\r\n\r\n", "0\r\nX: y\r\n\r\n", f"0\r\n{CL}: 5\r\n\r\n", "\r\n0\r\n\r\n", "0x0\r\n\r\n",
    "1\r\nZ0\r\n\r\n", '5;a="\r\n"\r\nhello\r\n0\r\n\r\n', "-0\r\n\r\n", "0_0\r\n\r\n", "1" + "0" * 16 + "\r\n\r\n", "2\r\nabc\r\n0\r\n\r\n", "3\r\nab\r\n0\r\n\r\n",
    "0\r\r\n\r\n", "0;\0\r\n\r\n", "2\r\nab\n0\r\n\r\n", f"2;{'x' * 5000}\r\nab\r\n0\r\n\r\n", f"0\r\n{BEGUN}",
]


def lengths(n):
    """A length that servers read in more than one way."""
    yield from (f"{CL}: 0\r\n{CL}: {n}", f"{CL}: {n}\r\n{CL}: 0", f"{CL}: 0, {n}", f"{CL}: {n}, {n}", f"{CL}: +{n}", f"{CL}: 0{n}", f"{CL}: {n:#x}")
    yield from (f"{CL}:{n}", f"{CL}: {n}\t", f"{CL} : {n}", f" {CL}: {n}", f"{CL}:\r\n {n}", f"{CL}: {n}\r\n 0", f"Content_Length: {n}", f"{CL}: {n}.0")
    yield from (f"{CL}: {n}abc", f"{CL}: -{n}", f"{CL}: ", f"{CL}: 1_0", f"Foo: b\n{CL}: {n}", f"Foo: b\r{CL}: {n}", f"{CL}\0: {n}", f"{CL}: {n}\0")
    yield from (f"{CL}: {2**64 + n}", f"{CL}: {2**32 + n}", f"Connection: {CL}\r\n{CL}: {n}", "".join(f"A{i}: b\r\n" for i in range(130)) + f"{CL}: {n}")


def within():
    """Requests within content, which one server reads as content and another as requests: whoever pairs in turn is shifted by one."""
    def post(fields, content, method="POST", version="1.1"):
        return f"{method} /f HTTP/{version}\r\nHost: x\r\n{fields}\r\n\r\n{content}"
    n, last, chunk = len(EVIL), "0\r\n\r\n" + EVIL, f"{len(EVIL):x}\r\n{EVIL}\r\n0\r\n\r\n"
    for method in ("POST", "GET", "PUT", "DELETE"):
        yield f"{method}, a request", post(f"{CL}: {n}", EVIL, method)
        yield f"{method}, a request begun", post(f"{CL}: {len(BEGUN)}", BEGUN, method)
        yield f"{method}, a request in a chunk", post(f"{TE}: chunked", chunk, method)
    for first in ("0123456789", '{"a":"abc\n', "--b\r\nA: b\r\n\r\n"):
        yield f"a request behind {first!r}", post(f"{CL}: {len(first) + n}", first + EVIL)
        yield f"a request begun behind {first!r}", post(f"{CL}: {len(first) + len(BEGUN)}", first + BEGUN)
    for coding in CODINGS:
        yield f"CL, TE {coding!r}", post(f"{CL}: {len(last)}\r\n{coding}", last)
        yield f"TE, CL {coding!r}", post(f"{coding}\r\n{CL}: {len(last)}", last)
        yield f"CL short, TE {coding!r}", post(f"{CL}: 4\r\n{coding}", chunk)
        yield f"TE {coding!r}", post(coding, last)
        yield f"TE, in a chunk {coding!r}", post(coding, chunk)
        yield f"1.0, TE {coding!r}", post(f"{coding}\r\nConnection: keep-alive", last, version="1.0")
    for length in lengths(n):
        yield f"{length[-50:]!r}", post(length, EVIL)
        yield f"GET {length[-50:]!r}", post(length, EVIL, "GET")
    for end in ENDS:
        yield f"chunks {end[:24]!r}", post(f"{TE}: chunked", end + EVIL)


def behind(n):
    return f"GET {BEHIND[n]} HTTP/1.1\r\nHost: x\r\n\r\n"


def connections():
    """What is sent on each connection: its name, and the parts, of which each waits for what is answered to the one before."""
    plain = [behind(n) for n in range(len(BEHIND))]
    for name, text in shapes():
        yield name, [text, *plain]
    for name, text in within():
        yield name, [text, *plain]
        yield f"{name}, piped", [text + plain[0], *plain[1:]]
    for name, text in [("bad line", "BAD\r\n\r\n"), ("bad target", "GET /\x01\x02 HTTP/1.1\r\n\r\n"), ("bad version", "GET / HTTP/9.9\r\n\r\n"), ("zeros", "\0\1\r\n\r\n")]:
        yield f"{name} behind a request", [plain[0] + text, *plain[1:]]
        yield f"{name} behind two", [plain[0] + plain[1] + text, plain[2]]
        yield f"{name} between two", [plain[0] + text + plain[1], plain[2]]
    yield "cut in a method", [plain[0] + plain[1][:2], plain[1][2:], plain[2]]
    yield "three at once", ["".join(plain)]


def shapes():
    yield from HIDING
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
