"""Every operation of the console's API by schemathesis and by hand; see scripts/api.sh."""

import argparse
import collections
import json
import os
import shutil
import signal
import subprocess
import sys

import sweep
from server import Console, provider

HERE = os.path.dirname(os.path.abspath(__file__))
# What is not checked: whether made-up credentials are refused, for the hooks put good ones in (sweep.py asks that), and whether all is
# taken that fits the description's types, for much has a meaning beyond (a cursor is what an answer gave).
UNCHECKED = "ignored_auth,positive_data_acceptance"
# What a pass asks, by regular expressions of paths. Each has a server of its own: what
# ends sessions, removes users or locks out ends nobody else's test. `main` has what the others do not.
PASSES = {
    "setup": "^/api/v1/setup$",
    "session": "^/api/v1/session(/|$)",
    "people": "^/api/v1/(users|tokens)(/|$)",
    "backup": "^/api/v1/settings/backup$",
    "events": "^/api/v1/events$",
}
FEW = {"backup": 10, "events": 3}
CONFIGURATION = """\
[store]
path = "store.db"
[policy]
path = "policy.yaml"
[intel]
directory = "intel"
sources = []
[[intel.source]]
name = "own"
file = "own.txt"
format = "networks"
label = "a test"
licence = "CC0-1.0"
[[mitigation.nginx]]
name = "web"
addresses = "addresses.conf"
allow = "allow.conf"
test = ["true"]
reload = ["true"]
"""
SSO = """\
[sso]
issuer = "{issuer}"
client_id = "sidetap"
client_secret = {{ file = "secret" }}
url = "http://127.0.0.1:9"
"""


class Run:
    def __init__(self, options):
        self.options = options
        self.issuer = provider()
        self.answers = collections.defaultdict(collections.Counter)
        self.failed = []

    def place(self, name, empty=False):
        """A directory with a store and a configuration, and the server of it."""
        directory = os.path.join(self.options.work, name)
        os.mkdir(directory)
        shutil.copy(os.path.join(self.options.work, "hash.key"), directory)
        if not empty:
            shutil.copy(self.options.store, os.path.join(directory, "store.db"))
        with open(os.path.join(directory, "sidetap.toml"), "w", encoding="utf-8") as file:
            file.write(CONFIGURATION + SSO.format(issuer=self.issuer))
        policy = subprocess.run([self.options.sidetap, "policy", "show", "default"], check=True, capture_output=True)
        contents = {"policy.yaml": policy.stdout, "own.txt": b"192.0.2.0/24\n", "secret": b"a-secret-of-the-client"}
        for file in ("addresses.conf", "allow.conf"):
            contents[file] = b""
        for file, content in contents.items():
            with open(os.path.join(directory, file), "wb") as out:
                out.write(content)
        return Console(directory).start(self.options.sidetap)

    def schemathesis(self, name):
        console = self.place(name)
        try:
            if name != "setup":
                with open(os.path.join(console.directory, "root.json"), "w", encoding="utf-8") as file:
                    json.dump(console.set_up(), file)
            if name == "main":
                which = ["--exclude-path-regex", "|".join(PASSES.values())]
            else:
                which = ["--include-path-regex", PASSES[name]]
            examples = min(self.options.examples, FEW.get(name, self.options.examples))
            command = [
                self.options.schemathesis, "run", f"{console.url()}/api/v1/openapi.json", "--url", console.url(),
                "--checks", "all", "--exclude-checks", UNCHECKED, "--max-examples", str(examples), "--phases", "examples,coverage,fuzzing",
                "--generation-database", "none", "--request-timeout", "60", "--continue-on-failure", "--warnings", "off", *which,
            ]  # fmt: skip
            env = dict(os.environ, SCHEMATHESIS_HOOKS="hooks", SIDETAP_API=console.directory, SIDETAP_API_PASS=name)
            env["PYTHONPATH"] = HERE
            done = subprocess.run(command, cwd=console.directory, env=env, check=False)
            if done.returncode:
                self.failed.append(f"schemathesis ({name})")
        finally:
            console.stop()
        with open(os.path.join(console.directory, "answers"), encoding="utf-8") as file:
            for line in file:
                operation, status, _ = line.split("\t")
                self.answers[operation][int(status) // 100] += 1

    def by_hand(self):
        for name, check, empty in [
            ("rights", sweep.rights, False),
            ("lockout", sweep.lockout, True),
            ("stream", sweep.stream, True),
            ("copy", sweep.copy, False),
        ]:
            console = self.place(name, empty)
            try:
                said, wrong = check(console, self.options)
            finally:
                console.stop()
            print(f"{name}: {said}")
            self.failed += [f"{name}: {what}" for what in wrong]

    def report(self, described):
        """Answers of each operation, by their kind; what never worked; the line that sums it up."""
        asked = {operation for operation in described if self.answers[operation]}
        worked = {o for o in asked if self.answers[o][2] or self.answers[o][3]}
        print(f"\n{'operation':60} 2xx/3xx   4xx   5xx")
        for operation in described:
            n = self.answers[operation]
            print(f"{operation.replace('/api/v1', ''):60} {n[2] + n[3]:7} {n[4]:5} {n[5]:5}")
        self.failed += [f"never asked: {o}" for o in described if o not in asked]
        self.failed += [f"never worked: {o}" for o in described if o in asked - worked]
        for what in self.failed:
            print(f"FAILED {what}")
        print(f"operations described: {len(described)}, asked: {len(asked)}, worked: {len(worked)}, failures: {len(self.failed)}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--sidetap", required=True)
    parser.add_argument("--schemathesis", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--store", required=True)
    parser.add_argument("--capture", required=True)
    parser.add_argument("--examples", type=int, default=25)
    parser.add_argument("--only", default="", help="passes to make, by comma")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    run = Run(options)
    only = [name for name in options.only.split(",") if name]
    with open(os.path.join(HERE, "../../docs/openapi.json"), encoding="utf-8") as file:
        described = sweep.operations(json.load(file))
    for name in [*PASSES, "main"]:
        if not only or name in only:
            run.schemathesis(name)
    if not only or "by-hand" in only:
        run.by_hand()
    run.report([method + " " + path for method, path, _ in described])
    sys.exit(1 if run.failed else 0)


main()
