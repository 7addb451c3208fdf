"""live.py SIDETAP PAGES DIR: a shop behind HAProxy with a watch on its mirror, honest people, and one who tries passwords, until the
standard input ends. Says `ready` when the watch captures. For the console's test on live traffic (crates/console/web/tests/live.e2e.mjs)."""
import asyncio, json, pathlib, signal, sys, time

from attacks import BROWSERS
from http1 import CHECKER, Client, Head
from stage import HERE, SERVER, Site, haproxy

ATTACKER = "20.64.0.66"
# What the site says of itself: everything else that is seen is a shadow.
SPEC = {
    "openapi": "3.1.0",
    "info": {"title": "Shop", "version": "1"},
    "paths": {
        "/api/login": {"post": {"responses": {"200": {"description": "in"}, "401": {"description": "not in"}}}},
        "/api/orders": {"get": {"responses": {"200": {"description": "orders"}, "401": {"description": "not in"}}}},
        "/health": {"get": {"responses": {"200": {"description": "up"}}}},
    },
}


async def attack(log):
    """Tries one pair after another, from one address, until it is ended."""
    with open(log, "w", buffering=1) as file:
        def note(ip, method, target, status, app):
            file.write(json.dumps({"t": time.time(), "ip": ip, "status": status, "app": app}) + "\n")

        n = 0
        while True:
            client = Client((SERVER, 80), ATTACKER, Head(CHECKER, BROWSERS[1]), note)
            for _ in range(4):
                n += 1
                body = json.dumps({"username": f"user{5000 + n}@mail.example", "password": f"hunter{n}"}, separators=(",", ":")).encode()
                await client.ask("POST", "/api/login", "fetch", body)
                await asyncio.sleep(0.15)
            client.close()


def main():
    sidetap, pages, dir = (pathlib.Path(a).resolve() for a in sys.argv[1:4])
    with Site(dir, pages, haproxy) as site:
        (dir / "shop.json").write_text(json.dumps(SPEC))
        (dir / "policy.yaml").write_text("version: 1\nrevision: empty\nrules: []\n")
        lines = ["[analysis]", f'hash_key = "{dir}/key"', "[store]", f'path = "{dir}/db/store.db"', "[policy]", f'path = "{dir}/policy.yaml"']
        (dir / "sidetap.toml").write_text("\n".join([*lines, *site.config]) + "\n")
        watch = site.watch(sidetap, "--spec", dir / "shop.json", "--enforce")
        site.people(3600)
        print("ready", flush=True)
        for line in sys.stdin:
            if line.strip() == "attack":
                site.start("a", "attack.err", sys.executable, HERE / "live.py", "attack", dir / "attack.log")
            elif line.strip() == "sensor?":
                print(watch.poll(), flush=True)
        watch.send_signal(signal.SIGTERM)
        watch.wait(60)


if __name__ == "__main__":
    if sys.argv[1] == "attack":
        asyncio.run(attack(sys.argv[2]))
    else:
        main()
