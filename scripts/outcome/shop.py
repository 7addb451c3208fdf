"""shop.py PORT LOG: a small shop with accounts, parcels, pages and stock. Every request that reaches it is a line of LOG."""
import asyncio, json, sys, time, zlib

ACCOUNTS = 4000
PRODUCTS = 3000
PARCELS = 400_000
# One parcel number in eight is somebody's.
PARCEL = 8


def password(n):
    return f"Sommer-{zlib.crc32(str(n).encode()) % 100000}!"


def is_parcel(n):
    return 0 <= n < PARCELS and zlib.crc32(b"p%d" % n) % PARCEL == 0


class Shop:
    def __init__(self, log):
        self.log, self.sessions, self.carts, self.stock, self.orders = log, {}, {}, 5000, {}

    def answer(self, method, path, fields, body):
        """Status, media type and body; and what was had, for the log."""
        parts = path.split("?")[0].strip("/").split("/")
        cookie = fields.get("cookie", "").partition("sid=")[2].split(";")[0]
        token = fields.get("authorization", "").removeprefix("Bearer ") or cookie
        user = self.sessions.get(token)
        if parts == [""]:
            return 200, "text/html", PAGE.format("Harbour shop", links(0)), None, {}
        if parts[0] == "static":
            return 200, "text/css" if path.endswith("css") else "text/javascript", "/* " + "x" * 900 + " */", None, {}
        if parts[0] == "health":
            return 200, "application/json", '{"status":"up"}', None, {}
        if parts[0] == "list":
            n = int(parts[1]) if len(parts) > 1 and parts[1].isdigit() else 0
            return 200, "text/html", PAGE.format(f"Page {n}", links(n)), None, {}
        if parts[0] == "product" and parts[1:] and parts[1].isdigit() and int(parts[1]) < PRODUCTS:
            n = int(parts[1])
            text = f"Article {n}. " + "It is made of good wood and lasts. " * 30 + f"EUR {n % 90 + 9}.90"
            return 200, "text/html", PAGE.format(f"Article {n}", text), ("page", n), {}
        if path == "/api/login" and method == "POST":
            asked = json.loads(body or b"{}")
            name = str(asked.get("username", ""))
            n = name.removeprefix("user").split("@")[0]
            if n.isdigit() and int(n) < ACCOUNTS and asked.get("password") == password(int(n)):
                sid = f"{zlib.crc32(name.encode()):08x}{time.time_ns():016x}"
                self.sessions[sid] = int(n)
                return 200, "application/json", json.dumps({"token": sid}), ("account", int(n)), {"Set-Cookie": f"sid={sid}; Path=/"}
            return 401, "application/json", '{"error":"name or password is wrong"}', None, {}
        if parts[:2] == ["api", "track"] and len(parts) == 3 and parts[2].isdigit():
            n = int(parts[2])
            if is_parcel(n):
                return 200, "application/json", json.dumps({"parcel": n, "town": f"Town {n % 900}", "state": "sent"}), ("id", n), {}
            return 404, "application/json", '{"error":"no such parcel"}', None, {}
        if path == "/api/stock/drop":
            return 200, "application/json", json.dumps({"sku": "drop", "left": self.stock}), None, {}
        if path == "/api/orders":
            if user is None:
                return 401, "application/json", '{"error":"log in"}', None, {}
            return 200, "application/json", json.dumps({"orders": self.orders.get(user, [])}), None, {}
        if path == "/api/cart" and method == "POST":
            if user is None:
                token = f"g{time.time_ns():023x}"
            self.carts[token] = json.loads(body or b"{}").get("sku")
            return 201, "application/json", '{"items":1}', None, {} if user is not None else {"Set-Cookie": f"sid={token}; Path=/"}
        if path == "/api/checkout" and method == "POST":
            sku = self.carts.pop(token, None)
            if sku is None:
                return 409, "application/json", '{"error":"the cart is empty"}', None, {}
            if sku == "drop":
                if self.stock <= 0:
                    return 409, "application/json", '{"error":"sold out"}', None, {}
                self.stock -= 1
            self.orders.setdefault(user, []).append(sku)
            return 201, "application/json", '{"order":"placed"}', ("stock", 1) if sku == "drop" else None, {}
        return 404, "application/json", '{"error":"not found"}', None, {}

    async def serve(self, reader, writer):
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                method, path, _ = head[0].split(" ", 2)
                fields = {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in head[1:] if line)}
                body = await reader.readexactly(int(fields.get("content-length", 0)))
                try:
                    status, media, text, had, more = self.answer(method, path, fields, body)
                except (ValueError, AttributeError):
                    status, media, text, had, more = 400, "application/json", '{"error":"not understood"}', None, {}
                self.log.write(json.dumps({"t": time.time(), "ip": fields.get("x-forwarded-for"), "status": status, "had": had}) + "\n")
                raw = text.encode()
                extra = "".join(f"{n}: {v}\r\n" for n, v in more.items())
                writer.write(
                    f"HTTP/1.1 {status} X\r\nContent-Type: {media}\r\nX-App: shop\r\n{extra}Content-Length: {len(raw)}\r\n\r\n".encode() + raw
                )
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, ValueError):
            pass
        finally:
            writer.close()


PAGE = """<!doctype html><html><head><title>{0}</title><link rel=stylesheet href=/static/shop.css><script src=/static/shop.js></script></head>
<body><h1>{0}</h1>{1}</body></html>"""


def links(page):
    return "".join(f"<a href=/product/{n % PRODUCTS}>Article {n % PRODUCTS}</a>\n" for n in range(page * 20, page * 20 + 20))


async def main():
    with open(sys.argv[2], "w", buffering=1) as log:
        server = await asyncio.start_server(Shop(log).serve, "127.0.0.1", int(sys.argv[1]))
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
