"""Whether a device, the actions of a store and its audit are of one mind: STORE, what is on the device (a feed's file, `nft list`, or `show map`)."""

import ipaddress
import json
import re
import sqlite3
import sys

store = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True)
text = open(sys.argv[2]).read()


def is_address(value):
    try:
        return bool(ipaddress.ip_network(value, strict=False))
    except ValueError:
        return False


bare = lambda s: s.removesuffix("/32").removesuffix("/128")
if "table inet" in text:
    on = set(re.findall(r"([0-9a-f.:/]+)(?: timeout \S+)? expires \S+ comment \"sidetap:", text))
elif text.startswith("show map"):
    on = set(re.findall(r"^0x\S+ (\S+) \d+:sidetap:", text, re.M))
else:
    on = set()
    for entry in json.loads(text)["entries"]:
        on |= {v for v in entry.values() if isinstance(v, str) and is_address(v)}
on = {bare(s) for s in on}
told, done, said = {}, [], [json.loads(d) for (d,) in store.execute("SELECT detail FROM audit WHERE action LIKE 'mitigation.%'")]
for (row,) in store.execute("SELECT row FROM actions ORDER BY seq"):
    action = json.loads(row)
    if action["outcome"] != "planned":
        done.append(action)
    if action["mode"] == "enforce" and action["outcome"] == "done":
        told[action["subject"]] = action["kind"]
there = {bare(s) for s, kind in told.items() if kind in ("add", "refresh")}
unaudited = sum(a not in said for a in done)
print(f"{len(on)} entries on the device; {len(on - there)} of them without an action, {len(there - on)} actions without an entry; "
      f"{len(done)} actions, {unaudited} without a row of the audit")
sys.exit(1 if on != there or unaudited or not on else 0)
