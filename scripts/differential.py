#!/usr/bin/env python3
"""differential.py [--bin FILE] [--dir DIR] [--only SERVER]: sends odd requests to real servers and compares what each of them says that it served
with what Sidetap saw on the wire.

nginx, Node.js, Apache httpd, Caddy, gunicorn, Go's server and Python's own (which reads content whole, ten bytes of it, or none) run on loopback
(those that are installed), tcpdump captures. Each shape goes first on a connection of its own, and three plain requests follow, which some servers
take for content of it and others do not. Every server answers with the target that it served, and no two targets are of one length. So

- whatever a server served must stand in exchanges.ndjson, with its answer or saying that it is not known (`missing` where it does not, and no
  exchange of the connection says that its pair is uncertain), and
- no request may stand beside an answer to another unless the exchange says that its pair is uncertain (`wrong`).

Prints each connection where something is missing or wrong; exit status 1 where there is one, 2 where nothing could be compared. Needs root's
rights for tcpdump.
"""
import argparse, concurrent.futures, json, os, shutil, socket, subprocess, sys, tempfile, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "differential"))
from servers import SERVERS, STARTS, answers, served_by, stop
from shapes import TARGETS, connections

# Below the ports that the system gives by itself.
FIRST_PORT = 20000
UNCERTAIN = {"pairing-uncertain", "resynchronised"}


def bound(free):
    """A socket from the next of the ports that nobody else has."""
    for own in free:
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", own))
            return own, s
        except OSError:
            s.close()
    raise OSError("no port is left")


def ask(port, free, parts):
    """Sends the parts of a connection one after the other; gives the port that it was sent from, which no other to this server is."""
    own, s = bound(free)
    with s:
        s.settimeout(2)
        s.connect(("127.0.0.1", port))
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        s.settimeout(0.25)
        for part in parts:
            try:
                s.sendall(part.encode("latin1"))
                if not s.recv(9999):
                    break
                # Some servers send a head, and then the content.
                time.sleep(0.005)
            except socket.timeout:
                pass
            except OSError:
                break
        return own


def main():
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("--bin", default="target/release/sidetap")
    args.add_argument("--dir")
    args.add_argument("--only", choices=sorted(STARTS))
    args = args.parse_args()
    if not os.access(args.bin, os.X_OK):
        print(f"differential.py: no program at {args.bin}: build it (cargo build --release -p sidetap) or name it with --bin", file=sys.stderr)
        return 2
    if args.dir:
        return compare(args.bin, args.dir, args.only)
    with tempfile.TemporaryDirectory(prefix="sidetap-differential-") as place:
        return compare(args.bin, place, args.only)


def record(place, only):
    """Runs the servers, asks them, and captures it: what was asked from which port of whom, and what they served of it. None where that cannot be."""
    os.makedirs(f"{place}/html", exist_ok=True)
    os.chmod(place, 0o755)
    for target in TARGETS:
        os.makedirs(os.path.dirname(f"{place}/html{target}"), exist_ok=True)
        open(f"{place}/html{target}", "w").write(target)
    servers = {port: (name, STARTS[name](place)) for port, name in SERVERS.items() if only in (None, name)}
    servers = {port: s for port, s in servers.items() if s[1] and answers(port, s)}
    tcpdump = shutil.which("tcpdump", path=os.environ["PATH"] + ":/usr/sbin")
    if not servers or not tcpdump:
        print("differential.py: needs tcpdump, and a server", file=sys.stderr)
        return None
    ports = f"tcp portrange {min(SERVERS)}-{max(SERVERS)}"
    capture = subprocess.Popen([tcpdump, "-i", "lo", "-U", "-s", "0", "-B", "65536", "-w", f"{place}/all.pcap", ports], stderr=subprocess.DEVNULL)
    time.sleep(1.5)
    if capture.poll() is not None:
        stop(servers)
        print("differential.py: tcpdump does not run: it needs root's rights", file=sys.stderr)
        return None
    asked = {}
    try:
        # One connection at a time and server, so that none waits for another's thread.
        def all_of(port):
            free = iter(range(FIRST_PORT, 32768))
            return {(port, ask(port, free, parts)): (servers[port][0], name) for name, parts in connections()}

        with concurrent.futures.ThreadPoolExecutor(len(servers)) as pool:
            for one in pool.map(all_of, servers):
                asked.update(one)
        time.sleep(1.5)
    finally:
        capture.terminate()
        capture.wait()
        stop(servers)
    served = {}
    for port, (name, _) in servers.items():
        for own, method, target, status in served_by(place, name):
            if (port, own) in asked and status == "200":
                served.setdefault((port, own), []).append((method, target))
    return asked, served


def compare(program, place, only):
    recorded = record(place, only)
    if not recorded:
        return 2
    asked, served = recorded
    out = f"{place}/out"
    done = subprocess.run([program, "replay", f"{place}/all.pcap", "--exchanges", "--no-analysis", "--hash-key", f"{place}/key", "--out", out], stdout=subprocess.DEVNULL)
    if done.returncode != 0:
        print(f"differential.py: the replay ended with {done.returncode}", file=sys.stderr)
        return 2
    seen = {}
    for line in open(f"{out}/exchanges.ndjson", encoding="utf8"):
        e = json.loads(line)
        http = e.get("http") or {}
        request, response = http.get("request") or {}, http.get("response") or {}
        if request.get("method"):
            target = (e.get("url") or {}).get("original") or ""
            known = set(e["sidetap"]["completeness"])
            size = (response.get("body") or {}).get("bytes")
            one = (request["method"], target, response.get("status_code"), size, sorted(known & UNCERTAIN))
            seen.setdefault((e["server"]["port"], e["source"]["port"]), []).append(one)
    return report(asked, served, seen)


def is_wrong(exchange):
    """Whether a request stands beside an answer to another target, and nothing says that this may be."""
    method, target, status, size, uncertain = exchange
    others = {len(other) for other in TARGETS if other != target}
    return status == 200 and target in TARGETS and size in others and not uncertain


def report(asked, served, seen):
    missing = wrong = alone = uncertain = untold = 0
    for key, (server, name) in asked.items():
        mine, theirs = seen.get(key, []), served.get(key, [])
        alone += max(0, len(theirs) - sum(1 for s in mine if s[2] == 200))
        uncertain += sum(1 for s in mine if s[4])
        left = [s[1] for s in mine]
        # A method or target that the server wrote otherwise than it stood on the wire is not looked for.
        lost = [t for _, t in theirs if t in TARGETS[1:] and (t not in left or left.remove(t))]
        if len(mine) < len(theirs) or lost:
            # What was asked in the same place may be a part of it: nobody can tell whose the answer is, and the exchange says so.
            if any(s[4] for s in mine):
                untold += 1
            else:
                missing += 1
                print(f"missing: {server}, {name}: served {theirs}, seen {mine}")
        # An answer of another kind where the server says that it served this request, and this one alone, well.
        refused = [s for s in mine if s[2] not in (None, 200) and not s[4] and theirs.count(s[:2]) > sum(1 for o in mine if o[:2] == s[:2] and o is not s)]
        if refused or any(map(is_wrong, mine)):
            wrong += 1
            print(f"wrong: {server}, {name}: served {theirs}, seen {mine}")
    total = sum(map(len, served.values()))
    names = ", ".join(dict.fromkeys(server for server, _ in asked.values()))
    print(f"{len(asked)} connections to {names}: {total} requests served, of {alone} the answer stands alone, {uncertain} pairs are told to be uncertain; "
          f"{untold} connections lack a request and say that their pairs are uncertain; {missing} with a request that is missing, {wrong} with a wrong pair")
    return 1 if missing or wrong or not total else 0


if __name__ == "__main__":
    sys.exit(main())
