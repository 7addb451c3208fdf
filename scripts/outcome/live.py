"""live.py SIDETAP PAGES DIR: a shop behind HAProxy with a watch on its mirror, honest people, and one who tries passwords, until the
standard input ends. Says `ready` when the watch captures. For the console's test on live traffic (crates/console/web/tests/live.e2e.mjs)."""
import asyncio, json, pathlib, signal, subprocess, sys, time

from attacks import BROWSERS
from http1 import CHECKER, Client, Head
from run import MIRROR, SERVER, Net, haproxy, until

HERE = pathlib.Path(__file__).parent
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
    (dir / "db").mkdir()
    dir.chmod(0o755)
    net, started = Net(), []
    try:
        started.append(net.start("s", dir / "shop.err", sys.executable, HERE / "shop.py", 9000, dir / "shop.log"))
        device, config = haproxy(dir, pages, net)
        started.append(device)
        until("the site listens", lambda: net.listens(80) and net.listens(9000))
        (dir / "shop.json").write_text(json.dumps(SPEC))
        (dir / "policy.yaml").write_text("version: 1\nrevision: empty\nrules: []\n")
        lines = ["[analysis]", f'hash_key = "{dir}/key"', "[store]", f'path = "{dir}/db/store.db"', "[policy]", f'path = "{dir}/policy.yaml"', *config]
        (dir / "sidetap.toml").write_text("\n".join(lines) + "\n")
        log = dir / "watch.log"
        watch = net.start("m", log, sidetap, "watch", "-i", MIRROR, "--spec", dir / "shop.json", "--enforce", cwd=dir)
        started.append(watch)
        until(f"the sensor captures ({log})", lambda: "rights" in log.read_text() or watch.poll() is not None)
        started.append(net.start("c", dir / "people.err", sys.executable, HERE / "people.py", SERVER, 3600, dir / "people.log"))
        print("ready", flush=True)
        for line in sys.stdin:
            if line.strip() == "attack":
                started.append(net.start("a", dir / "attack.err", sys.executable, HERE / "live.py", "attack", dir / "attack.log"))
            elif line.strip() == "sensor?":
                print(watch.poll(), flush=True)
        watch.send_signal(signal.SIGTERM)
        watch.wait(60)
    finally:
        for process in reversed(started):
            process.terminate()
        for process in started:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
        net.close()


if __name__ == "__main__":
    if sys.argv[1] == "attack":
        asyncio.run(attack(sys.argv[2]))
    else:
        main()
