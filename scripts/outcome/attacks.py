"""attacks.py SERVER SECONDS LOG: four attacks at once, each from addresses that it uses a few times and leaves. What each request was
answered is a line of LOG."""
import asyncio, json, random, sys, time

from http1 import CHECKER, CRAWLER, SNIPER, WALKER, Client, Head
from shop import ACCOUNTS, PARCELS, PRODUCTS, password

# Second part of the first address of each attack, which has a million of them: 20.64.0.0/12 and so on.
NETWORKS = {"stuffing": 64, "enumeration": 80, "scraping": 96, "hype-sale": 112}
BROWSERS = [
    f"Mozilla/5.0 ({system}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{major}.0.0.0 Safari/537.36"
    for system in ("Windows NT 10.0; Win64; x64", "Macintosh; Intel Mac OS X 10_15_7")
    for major in (139, 140, 141, 142)
]


class Attack:
    """One attack: `each` is what it does from one address, `rate` how many addresses it uses up in a second."""

    def __init__(self, name, rate, each, server, end, log):
        self.name, self.rate, self.each, self.server, self.end, self.log = name, rate, each, server, end, log
        self.rng, self.n = random.Random(name), 0

    def note(self, ip, method, target, status, app):
        row = {"t": time.time(), "attack": self.name, "ip": ip, "asked": f"{method} {target}", "status": status, "app": app}
        self.log.write(json.dumps(row) + "\n")

    def client(self, head):
        # Spread over the whole network, as homes are whose owners do not know what runs there.
        at = self.n * 2654435761 % 2**20
        ip = f"20.{NETWORKS[self.name] + (at >> 16)}.{at >> 8 & 255}.{at & 255}"
        return Client(self.server, ip, head, self.note)

    async def run(self):
        tasks, begin = set(), time.time()
        while time.time() < self.end:
            # A site that is slow, or refuses by letting wait, does not make an attacker wait.
            if len(tasks) < 200:
                task = asyncio.create_task(self.each(self, self.n))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
            self.n += 1
            await asyncio.sleep(max(0, begin + self.n / self.rate - time.time()))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def stuffing(attack, n):
    """Two pairs of a stolen list an address; one pair in forty is right here."""
    client = attack.client(Head(CHECKER, BROWSERS[1]))
    for pair in (2 * n, 2 * n + 1):
        right = pair % 40 == 7
        name = f"user{pair // 40 % 2400}@mail.example" if right else f"user{5000 + pair}@mail.example"
        word = password(pair // 40 % 2400) if right else f"hunter{pair}"
        body = json.dumps({"username": name, "password": word}, separators=(",", ":")).encode()
        await client.ask("POST", "/api/login", "fetch", body)
        await asyncio.sleep(0.4)
    client.close()


async def enumeration(attack, n):
    """Five numbers of parcels an address, one after the other."""
    client = attack.client(Head(WALKER, BROWSERS[6], coding="gzip, deflate"))
    for number in range(5 * n, 5 * n + 5):
        await client.ask("GET", f"/api/track/{number % PARCELS}", "fetch")
        await asyncio.sleep(0.2)
    client.close()


async def scraping(attack, n):
    """Six articles an address, each under the name of another browser."""
    client = attack.client(Head(CRAWLER, attack.rng.choice(BROWSERS), coding="gzip, deflate"))
    for article in range(6 * n, 6 * n + 6):
        await client.ask("GET", f"/product/{article % PRODUCTS}", "page")
        await asyncio.sleep(0.3)
    client.close()


async def sale(attack, n):
    """Looks for stock, puts it into the basket and buys it, as fast as it goes."""
    major = 141
    brands = f'"Chromium";v="{major}", "Google Chrome";v="{major}", "Not?A_Brand";v="8"'
    client = attack.client(Head(SNIPER, BROWSERS[2], brands=brands, coding="gzip, deflate, br"))
    await client.ask("GET", "/api/stock/drop", "fetch")
    await client.ask("POST", "/api/cart", "fetch", b'{"sku":"drop"}')
    await client.ask("POST", "/api/checkout", "fetch", b"{}")
    client.close()


async def main():
    host, seconds, log = sys.argv[1], float(sys.argv[2]), sys.argv[3]
    with open(log, "w", buffering=1) as file:
        end, server = time.time() + seconds, (host, 80)
        plan = [("stuffing", 6, stuffing), ("enumeration", 4, enumeration), ("scraping", 3, scraping), ("hype-sale", 5, sale)]
        await asyncio.gather(*[Attack(name, rate, each, server, end, file).run() for name, rate, each in plan])


if __name__ == "__main__":
    asyncio.run(main())
