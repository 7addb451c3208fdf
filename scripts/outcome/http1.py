"""Heads of browsers, apps and tools, and a client that sends them byte for byte from an address of its choice."""
import asyncio

CHROME = {
    "page": """Host Connection Content-Length sec-ch-ua sec-ch-ua-mobile sec-ch-ua-platform Origin Content-Type Upgrade-Insecure-Requests:1
        User-Agent Accept:page Sec-Fetch-Site Sec-Fetch-Mode:navigate Sec-Fetch-User:?1 Sec-Fetch-Dest:document Referer Accept-Encoding
        Accept-Language Cookie""",
    "fetch": """Host Connection Content-Length sec-ch-ua-platform Authorization User-Agent sec-ch-ua Content-Type sec-ch-ua-mobile Accept:fetch
        Origin Sec-Fetch-Site Sec-Fetch-Mode:cors Sec-Fetch-Dest:empty Referer Accept-Encoding Accept-Language Cookie""",
    "asset": """Host Connection sec-ch-ua-platform User-Agent sec-ch-ua sec-ch-ua-mobile Accept:asset Sec-Fetch-Site Sec-Fetch-Mode:no-cors
        Sec-Fetch-Dest:script Referer Accept-Encoding Accept-Language Cookie""",
}
FIREFOX = {
    "page": """Host User-Agent Accept:page Accept-Language Accept-Encoding Content-Type Content-Length Origin Connection Referer Cookie
        Upgrade-Insecure-Requests:1 Sec-Fetch-Dest:document Sec-Fetch-Mode:navigate Sec-Fetch-Site Sec-Fetch-User:?1""",
    "fetch": """Host User-Agent Accept:fetch Accept-Language Accept-Encoding Referer Content-Type Authorization Content-Length Origin Connection
        Cookie Sec-Fetch-Dest:empty Sec-Fetch-Mode:cors Sec-Fetch-Site""",
    "asset": """Host User-Agent Accept:asset Accept-Language Accept-Encoding Connection Referer Cookie Sec-Fetch-Dest:script
        Sec-Fetch-Mode:no-cors Sec-Fetch-Site""",
}
SAFARI = {
    "page": """Host Content-Type Origin Cookie Sec-Fetch-Dest:document User-Agent Accept:page Referer Content-Length Sec-Fetch-Site
        Sec-Fetch-Mode:navigate Accept-Language Accept-Encoding Connection""",
    "fetch": """Host Content-Type Accept:fetch Authorization Sec-Fetch-Site Accept-Language Accept-Encoding Sec-Fetch-Mode:cors Origin User-Agent
        Content-Length Referer Sec-Fetch-Dest:empty Cookie Connection""",
    "asset": """Host Accept:asset Sec-Fetch-Site Cookie Sec-Fetch-Mode:no-cors User-Agent Referer Sec-Fetch-Dest:script Accept-Language
        Accept-Encoding Connection""",
}
APP = {"fetch": "Authorization Content-Type Content-Length Host Connection Accept-Encoding User-Agent"}
LIBRARY = {"fetch": "Host User-Agent Accept-Encoding Accept:any Connection X-Api-Key Content-Length Content-Type"}
# What tools of attackers send that call themselves browsers: names and values of browsers, in the tool's own order.
CHECKER = {"fetch": "Host User-Agent Pragma:no-cache Accept:any Content-Type Content-Length"}
WALKER = {"fetch": "Host Accept:any Accept-Encoding User-Agent"}
CRAWLER = {"fetch": "Host User-Agent Accept:page Accept-Language Accept-Encoding"}
SNIPER = {
    "fetch": """Host sec-ch-ua sec-ch-ua-mobile User-Agent Content-Type Accept:fetch sec-ch-ua-platform Origin Referer Accept-Encoding
        Accept-Language Cookie Content-Length Connection"""
}
ACCEPT = {
    "page": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "fetch": "application/json, text/plain, */*",
    "asset": "*/*",
    "any": "*/*",
}
HOST = "shop.example"


class Head:
    """What one kind of client writes, with the values of one installation of it."""

    def __init__(self, family, agent, language="en-US,en;q=0.9", coding="gzip, deflate, br", brands=None, platform='"Windows"', key=None):
        self.family, self.fixed = family, {
            "Host": HOST,
            "Connection": "keep-alive",
            "User-Agent": agent,
            "Accept-Encoding": coding,
            "Accept-Language": language,
            "sec-ch-ua": brands,
            "sec-ch-ua-mobile": "?0",
            "sec-ch-ua-platform": platform,
            "X-Api-Key": key,
        }

    def write(self, method, target, kind, own):
        """The head of a request; `own` are the values that it alone has."""
        lines = [f"{method} {target} HTTP/1.1"]
        for word in self.family.get(kind, self.family["fetch"]).split():
            name, _, value = word.partition(":")
            if name == "Accept":
                value = ACCEPT[value]
            value = value or own.get(name) or self.fixed.get(name)
            if value:
                lines.append(f"{name}: {value}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode()


class Client:
    """One client at one address, with a connection that it keeps, its cookie, and a word for its log."""

    def __init__(self, server, ip, head, log):
        self.server, self.ip, self.head, self.log = server, ip, head, log
        self.streams, self.cookie, self.bearer, self.page = None, None, None, None

    async def ask(self, method, target, kind="page", body=None, media="application/json"):
        """Sends a request; gives status and body, and (0, b"") where none came."""
        own = {"Cookie": self.cookie, "Authorization": self.bearer, "Referer": self.page}
        own["Sec-Fetch-Site"] = "same-origin" if self.page else "none"
        if body is not None:
            own |= {"Content-Length": str(len(body)), "Content-Type": media, "Origin": f"http://{HOST}"}
        raw = self.head.write(method, target, kind, own) + (body or b"")
        status, fields, answer = 0, {}, b""
        # A connection that was left open may have been closed meanwhile: then on a new one, as browsers do.
        for kept in (True, False):
            if kept and self.streams is None:
                continue
            try:
                status, fields, answer = await asyncio.wait_for(self.exchange(raw), 8)
                break
            except (OSError, asyncio.TimeoutError, asyncio.IncompleteReadError, ValueError, IndexError):
                self.close()
        if "set-cookie" in fields:
            self.cookie = fields["set-cookie"].split(";")[0]
        if kind == "page":
            self.page = f"http://{HOST}{target}"
        self.log(self.ip, method, target, status, "x-app" in fields)
        return status, answer

    async def exchange(self, raw):
        if self.streams is None:
            self.streams = await asyncio.open_connection(*self.server, local_addr=(self.ip, 0))
        reader, writer = self.streams
        writer.write(raw)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        fields = {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in head[1:] if line)}
        answer = await reader.readexactly(int(fields.get("content-length", 0)))
        if fields.get("connection") == "close":
            self.close()
        return int(head[0].split()[1]), fields, answer

    def close(self):
        if self.streams:
            self.streams[1].close()
        self.streams = None
