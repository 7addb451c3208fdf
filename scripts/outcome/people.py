"""people.py SERVER SECONDS LOG: the honest of the shop: people in browsers and an app, an office behind one address, a partner, a monitor.
What each asked and was answered is a line of LOG."""
import asyncio, json, random, sys, time

from http1 import APP, CHROME, FIREFOX, LIBRARY, SAFARI, Client, Head
from shop import ACCOUNTS, PARCELS, PRODUCTS, is_parcel, password

OFFICE = "20.0.250.1"
LANGUAGES = ["en-US,en;q=0.9", "en-GB,en;q=0.9", "de-DE,de;q=0.9,en;q=0.8", "nl,en;q=0.9", "fr-FR,fr;q=0.9"]
NUMBERS = [n for n in range(PARCELS) if is_parcel(n)]


def browser(rng):
    language = rng.choice(LANGUAGES)
    kind = rng.choices(["windows", "mac", "android", "firefox", "safari"], [44, 14, 14, 12, 16])[0]
    if kind == "firefox":
        agent = f"Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:{rng.choice([143, 144])}.0) Gecko/20100101 Firefox/{rng.choice([143, 144])}.0"
        return Head(FIREFOX, agent, language, "gzip, deflate, br, zstd")
    if kind == "safari":
        agent = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1"
        return Head(SAFARI, agent, language)
    system, platform = {
        "windows": ("Windows NT 10.0; Win64; x64", '"Windows"'),
        "mac": ("Macintosh; Intel Mac OS X 10_15_7", '"macOS"'),
        "android": ("Linux; Android 10; K", '"Android"'),
    }[kind]
    major = rng.choice([139, 140, 140, 141, 141, 142])
    mobile = " Mobile" if kind == "android" else ""
    agent = f"Mozilla/5.0 ({system}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{major}.0.0.0{mobile} Safari/537.36"
    brands = f'"Google Chrome";v="{major}", "Not?A_Brand";v="8", "Chromium";v="{major}"'
    return Head(CHROME, agent, language, "gzip, deflate, br, zstd", brands, platform)


class Crowd:
    def __init__(self, server, log):
        self.server, self.end, self.log, self.next, self.rng = server, 0, log, 0, random.Random(7)

    def note(self, who):
        def log(ip, method, target, status, app):
            row = {"t": time.time(), "who": who, "ip": ip, "asked": f"{method} {target}", "status": status, "app": app}
            self.log.write(json.dumps(row) + "\n")

        return log

    def goes_on(self):
        return time.time() < self.end

    async def think(self, rng, low=0.3, high=2.5):
        await asyncio.sleep(min(rng.uniform(low, high), max(0, self.end - time.time())))

    def account(self):
        self.next += 1
        return ACCOUNTS - 1 - self.next % 1500

    async def log_in(self, client, rng):
        n = self.account()
        tries = [password(n)] if rng.random() > 0.12 else ["forgotten", password(n)]
        for word in tries:
            body = json.dumps({"username": f"user{n}@mail.example", "password": word}, separators=(",", ":")).encode()
            status, answer = await client.ask("POST", "/api/login", "fetch", body)
            if status == 200:
                return json.loads(answer).get("token")
            await self.think(rng)

    async def visit(self, client, rng):
        """A visit to the shop, as people make it."""
        await client.ask("GET", "/")
        await asyncio.gather(*[self.asset(client, path) for path in ("/static/shop.css", "/static/shop.js")])
        for _ in range(rng.randint(1, 5)):
            if not self.goes_on():
                return
            await self.think(rng)
            what = rng.random()
            if what < 0.25:
                await client.ask("GET", f"/list/{rng.randint(0, 40)}")
            elif what < 0.7:
                await client.ask("GET", f"/product/{int(rng.paretovariate(0.6)) * 7 % PRODUCTS}")
            elif what < 0.85:
                await client.ask("GET", f"/api/track/{rng.choice(NUMBERS)}", "fetch")
            else:
                await client.ask("GET", "/api/stock/drop", "fetch")
        if rng.random() < 0.5 and self.goes_on():
            await self.log_in(client, rng)
            await self.think(rng)
            await client.ask("GET", "/api/orders", "fetch")
            if rng.random() < 0.6:
                await self.think(rng)
                sku = "drop" if rng.random() < 0.4 else f"a{rng.randint(0, 99)}"
                await client.ask("POST", "/api/cart", "fetch", json.dumps({"sku": sku}, separators=(",", ":")).encode())
                await self.think(rng, 1, 3)
                await client.ask("POST", "/api/checkout", "fetch", b"{}")

    async def asset(self, client, path):
        # A browser opens further connections for what a page needs.
        other = Client(client.server, client.ip, client.head, client.log)
        other.cookie, other.page = client.cookie, client.page
        await other.ask("GET", path, "asset")
        other.close()

    async def person(self, n):
        rng = random.Random(n)
        await asyncio.sleep(rng.uniform(0, 4))
        while self.goes_on():
            ip = f"20.0.{rng.randint(0, 199)}.{rng.randint(1, 250)}"
            client = Client(self.server, ip, browser(rng), self.note("person"))
            await self.visit(client, rng)
            client.close()
            await self.think(rng)

    async def worker(self, n):
        """Somebody in the office: many people, one address."""
        rng = random.Random(1000 + n)
        head = browser(rng)
        while self.goes_on():
            await self.think(rng, 1, 6)
            client = Client(self.server, OFFICE, head, self.note("office"))
            await self.visit(client, rng)
            client.close()

    async def phone(self, n):
        rng = random.Random(2000 + n)
        client = Client(self.server, f"20.0.201.{n + 1}", Head(APP, "shop-android/4.2.1 okhttp/4.12.0", coding="gzip"), self.note("app"))
        await asyncio.sleep(rng.uniform(0, 5))
        client.bearer = f"Bearer {await self.log_in(client, rng)}"
        own = rng.sample(NUMBERS, 3)
        while self.goes_on():
            await client.ask("GET", "/api/orders", "fetch")
            await self.think(rng, 1, 5)
            await client.ask("GET", f"/api/track/{rng.choice(own)}", "fetch")
            await self.think(rng, 2, 9)

    async def partner(self):
        """A carrier's program that asks for the parcels of its customers."""
        rng = random.Random(3000)
        head = Head(LIBRARY, "python-requests/2.32.3", coding="gzip, deflate", key="pk_live_4f1c9a7be2d84d0b")
        client = Client(self.server, "20.0.202.7", head, self.note("partner"))
        own = rng.sample(NUMBERS, 60)
        while self.goes_on():
            await client.ask("GET", f"/api/track/{rng.choice(own)}", "fetch")
            await asyncio.sleep(1.5)

    async def monitor(self):
        client = Client(self.server, "20.0.203.9", Head(LIBRARY, "Uptime/1.0 (+https://uptime.example/)", coding="gzip"), self.note("monitor"))
        while self.goes_on():
            await client.ask("GET", "/health", "fetch")
            await asyncio.sleep(3)


async def main():
    host, seconds, log = sys.argv[1], float(sys.argv[2]), sys.argv[3]
    with open(log, "w", buffering=1) as file:
        crowd = Crowd((host, 80), file)
        crowd.end = time.time() + seconds
        all = [crowd.person(n) for n in range(40)] + [crowd.worker(n) for n in range(8)] + [crowd.phone(n) for n in range(10)]
        await asyncio.gather(*all, crowd.partner(), crowd.monitor())


if __name__ == "__main__":
    asyncio.run(main())
