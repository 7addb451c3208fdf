import assert from "node:assert/strict";
import { test } from "node:test";

import { apiUrl } from "../src/api/client";
import { pulse, stepped } from "../src/lib/buckets";
import { colsOf, visibleOf } from "../src/lib/columns";
import { cell, csv, ndjson, planRows } from "../src/lib/csv";
import { band, bytes, counted, duration, percent, recognised, times } from "../src/lib/format";
import { outcome } from "../src/lib/push";
import { isOld, planDevices, planLines } from "../src/lib/plan";
import { className, dataType, outcomeName, pieces, plain, sentence, unticked, words } from "../src/lib/text";
import { dropWritten, joined, keepWritten, readWritten, writtenKey } from "../src/pages/draft";
import { parseSearch, stringifySearch, to } from "../src/lib/url";

test("text that turns around or hides is made visible", () => {
  assert.equal(plain("/a\u202egnp.exe"), "/a⟨U+202E⟩gnp.exe");
  assert.equal(plain("ad\u200bmin\u2066x\u2069"), "ad⟨U+200B⟩min⟨U+2066⟩x⟨U+2069⟩");
  assert.equal(plain("tag\u{e0041}"), "tag⟨U+E0041⟩");
  assert.equal(plain("a\r\nb\u0000"), "a⟨U+000D⟩⟨U+000A⟩b⟨U+0000⟩");
  assert.deepEqual(pieces("plain äöü 漢字 🙂"), [{ text: "plain äöü 漢字 🙂", hidden: false }]);
});

test("line ends stay in text that has lines, other controls do not", () => {
  assert.deepEqual(pieces("a\n\tb\u001b", true), [
    { text: "a\n\tb", hidden: false },
    { text: "U+001B", hidden: true },
  ]);
});

test("ids read as words", () => {
  assert.equal(times(1), "once");
  assert.equal(times(1200), "1,200 times");
  assert.equal(sentence("there is no such campaign"), "There is no such campaign");
  assert.equal(words("credential-stuffing"), "Credential stuffing");
  assert.equal(words("api-key"), "API key");
  assert.equal(className("bola"), "Broken object level authorization");
  assert.equal(className(null), "Unclassified");
});

test("numbers keep their meaning", () => {
  assert.equal(bytes(1536), "1.5 KiB");
  assert.equal(duration(7 * 60 + 8), "7 min 8 s");
  assert.equal(duration(0.01), "10 ms");
  assert.equal(percent(0.00001), "< 0.1 %");
  assert.equal(percent(Number.NaN), "–");
  assert.equal(band(80), "critical");
  assert.equal(band(79), "high");
  assert.equal(band(0), "none");
});

test("one is one, and several are several", () => {
  assert.equal(counted(1, "host"), "1 host");
  assert.equal(counted(1200, "entry", "entries"), "1,200 entries");
  assert.equal(outcomeName("paths-tried", 1), "path tried");
  assert.equal(outcomeName("paths-tried", 2), "paths tried");
  assert.equal(outcomeName("sign-ups-tried", 1), "sign up tried");
  assert.equal(outcomeName("unknown-users", 1), "unknown user");
  assert.equal(unticked("press `Let push again`, or not"), "press “Let push again”, or not");
  assert.equal(dataType("us-ssn"), "US social security number (SSN)");
  assert.equal(dataType("credit-card"), "Credit card");
});

test("a push tells what was changed, what was not sent, what waits, and what was held", () => {
  const device = { name: "edge", outcome: "done", answer: "ok", added: 3, refreshed: 0, removed: 0 };
  assert.deepEqual(outcome({ connectors: [], held: [] }).ok, false);
  assert.deepEqual(outcome({ connectors: [device], held: [] }), { ok: true, text: "edge: 3 added" });
  const one = outcome({ connectors: [{ ...device, added: 0 }], held: [{ why: "too old" }] });
  assert.deepEqual(one, { ok: false, text: "edge: unchanged; 1 verdict held: too old" });
  const refused = outcome({ connectors: [{ ...device, added: 1, refused: 5, unsent: { "no room": 4, "not an address": 1 } }], held: [] });
  assert.deepEqual(refused, { ok: true, text: "edge: 1 added, 5 not sent (4: no room; 1: not an address)" });
  const nothing = outcome({ connectors: [{ ...device, outcome: "unchanged", added: 0, refused: 2, unsent: { "`tarpit` is beyond it": 2 } }], held: [] });
  assert.deepEqual(nothing, { ok: false, text: "edge: unchanged, 2 not sent (“tarpit” is beyond it)" });
  const waits = outcome({ connectors: [{ ...device, added: 0 }], held: [{ why: "it waits for approval" }, { why: "it waits for approval" }, { why: "a" }, { why: "a" }, { why: "b" }] });
  assert.equal(waits.text, "edge: unchanged; 2 verdicts wait for approval, under Policies; 3 verdicts held: 2: a; 1: b");
  const asks = outcome({ connectors: [{ ...device, outcome: "unchanged", added: 0, refused: 5, unsent: { "it waits for approval": 4, "no room": 1 } }], held: [] });
  assert.equal(asks.text, "edge: unchanged, 4 wait for approval under Policies, 1 not sent (no room)");
  const failed = outcome({ connectors: [{ ...device, added: 0, outcome: "failed", answer: "no answer" }], held: [] });
  assert.deepEqual(failed, { ok: false, text: "edge: failed (no answer)" });
});

test("the address keeps a view whole", () => {
  const search = { q: "a&b=c/é", sort: "-risk", min_risk: "30" };
  assert.deepEqual(parseSearch(stringifySearch(search)), search);
  assert.equal(to("/inventory", { host: "", q: undefined }), "/inventory");
});

test("the API is asked without parameters that say nothing", () => {
  assert.equal(apiUrl("/endpoints", { q: "a b", sort: "", host: undefined, limit: 5 }), "/api/v1/endpoints?q=a+b&limit=5");
});

test("suggested rules come before those of the present policy, which says the rest", () => {
  const suggested = "# Measured.\nversion: 1\nextends: default\nrequests:\n  - id: s-1\n    response: block\n";
  assert.equal(joined("version: 1\nrules: []\n", suggested), "version: 1\nrules: []\nrequests:\n  - id: s-1\n    response: block\n");
  const own = "version: 1\nextends: default\nrequests:\n  - id: own\n    response: alert\nrevision: x";
  assert.equal(
    joined(own, suggested),
    "version: 1\nextends: default\nrequests:\n  - id: s-1\n    response: block\n  - id: own\n    response: alert\nrevision: x\n",
  );
  assert.equal(joined("requests:\n- id: own\n", suggested), "requests:\n- id: s-1\n  response: block\n- id: own\n");
  assert.equal(joined("version: 1\nrequests: [] # none\nrevision: x\n", suggested), "version: 1\nrequests:\n  - id: s-1\n    response: block\nrevision: x\n");
});

test("tables are files as the API writes them: no formulas, a column for each value", () => {
  assert.equal(cell("=cmd|' /C calc'!A0"), "'=cmd|' /C calc'!A0");
  assert.equal(cell('a,"b"'), '"a,""b"""');
  assert.equal(cell("x;=cmd;y; -1;a=b\t@c"), "x;'=cmd;y; '-1;a=b\t'@c");
  assert.deepEqual([cell("\t=1"), cell("＝1"), cell(-5), cell(null), cell(["a", "b"])], ["'\t'=1", "'＝1", "-5", "", '"[""a"",""b""]"']);
  assert.equal(csv([{ a: { b: 1, c: {} }, d: "x" }, { a: { b: 2 }, e: true }]), "a.b,a.c,d,e\r\n1,{},x,\r\n2,,,true\r\n");
  assert.equal(ndjson([{ a: { b: 1 } }, {}]), '{"a":{"b":1}}\n{}\n');
});

test("a plan is a table of what it changes, device by device", () => {
  const plan = { connectors: [{ name: "edge", add: [{ key: { net: "192.0.2.1/32" }, response: "block" }], remove: [], repair: ["x"], keep: 3 }], held: [{ why: "old" }] };
  assert.deepEqual(planRows(plan), [
    { device: "edge", change: "add", "key.net": "192.0.2.1/32", response: "block" },
    { device: null, change: "held", why: "old" },
  ]);
  assert.deepEqual(planRows({ undone: [{ connectors: [{ name: "edge", removed: 1 }], actions: [{ connector: "edge", kind: "undo", subject: "a" }], held: [] }] }), [{ device: "edge", change: "undo", subject: "a" }]);
  assert.deepEqual(planRows(null), []);
});

test("chosen columns are in the address, a list's own choice is not", () => {
  const columns = [{ id: "name" }, { id: "calls" }, { id: "owner", extra: true }];
  assert.deepEqual(visibleOf(columns, ""), { name: true, calls: true, owner: false });
  assert.equal(colsOf(columns, visibleOf(columns, "")), undefined);
  const chosen = { name: true, calls: false, owner: true };
  assert.equal(colsOf(columns, chosen), "name,owner");
  assert.deepEqual(visibleOf(columns, "name,owner"), chosen);
  assert.equal(colsOf(columns, { name: true, calls: false, owner: false }), "name");
  assert.deepEqual(visibleOf(columns, "name"), { name: true, calls: false, owner: false });
});

test("a pause is drawn as one: a bucket is as wide as it is", () => {
  const one = (at: number, count: number) => ({ at, counts: [count] });
  // What steps that go from point to point cover, as counts by second.
  const area = (steps: { at: number; counts: number[] }[]) => steps.reduce((sum, step, i) => sum + (step.counts[0] ?? 0) * ((steps[i + 1]?.at ?? step.at) - step.at), 0);
  const seen = [one(100, 32), one(110, 5), one(860, 106), one(880, 1)];
  assert.equal(area(stepped(seen, 10)), 10 * (32 + 5 + 106 + 1));
  assert.deepEqual(stepped(seen, 10).map((step) => [step.at, step.counts[0]]), [[100, 32], [110, 5], [120, 0], [850, 0], [860, 106], [870, 0], [880, 1], [890, 0]]);
  assert.deepEqual(stepped([], 10), []);
});

test("a plan is told to an operator, device by device and entry by entry", () => {
  const plan = {
    connectors: [
      { name: "edge", add: [{ key: { net: "192.0.2.1/32" }, response: "block", expires_at: 1_795_000_000, verdict: "v-1" }], refresh: [], remove: [], refused: [{ verdict: "v-2", subject: "anna", why: "no accounts" }], repair: ["map file"], allow: ["10.0.0.0/8"], allow_changes: true, keep: 3, error: null },
      { name: "gone", add: [], error: "cannot be reached" },
    ],
    held: [{ verdict: "v-3", subject: "203.0.113.9", why: "it is old" }],
  };
  assert.deepEqual(planDevices(plan), [
    { name: "edge", text: "1 to add, 1 to make anew, 1 not sent, 3 stay, the allow list to change", trouble: [] },
    { name: "gone", text: "not known", trouble: ["cannot be reached"] },
  ]);
  const anew = { connectors: [{ name: "edge", add: [], repair: ["map file"] }] };
  assert.deepEqual([planDevices(anew)[0]?.text, planLines(anew)[0]?.what], ["1 to make anew", "Make anew"], "no change is none where something is made anew");
  assert.equal(planDevices({ connectors: [{ name: "edge", add: [], repair: [], allow_changes: false }] })[0]?.text, "nothing to change");
  const short = planLines(plan).map((line) => [line.device, line.what, line.whom, line.how, line.until, line.why, line.verdict]);
  assert.deepEqual(short, [
    ["edge", "Add", "192.0.2.1/32", "block", "2026-11-18T11:06:40.000Z", "", "v-1"],
    ["edge", "Not sent", "anna", "", null, "no accounts", "v-2"],
    ["edge", "Make anew", "map file", "", null, "", null],
    ["edge", "Allow list", "10.0.0.0/8", "", null, "", null],
    ["", "Held", "203.0.113.9", "", null, "it is old", "v-3"],
  ]);
  const undone = { undone: [{ connectors: [{ name: "edge", outcome: "failed", answer: "no answer", removed: 2 }], actions: [{ connector: "edge", kind: "undo", subject: "a", expires_at: null, answer: "planned" }], held: [] }] };
  assert.deepEqual(planDevices(undone), [{ name: "edge", text: "2 removed", trouble: ["failed: no answer"] }]);
  assert.deepEqual(planLines(undone).map((line) => [line.device, line.what, line.whom, line.why]), [["edge", "Take back", "a", "planned"]]);
  assert.equal(planDevices({ undone: [{ connectors: [{ name: "edge", outcome: "planned", removed: 2 }] }] })[0]?.text, "2 to remove", "nothing is done yet");
  assert.deepEqual([planDevices(null), planLines(null)], [[], []]);
});

test("a plan is old once something was done to a device", () => {
  const device = { name: "edge", mode: "enforce", last_push: "2026-10-13T09:00:00Z", entries: 3, wanted: 3 };
  const now = (change: object, killed = false) => ({ killed, devices: [{ ...device, ...change }] });
  assert.equal(isOld(now({}), now({ drift: [] })), false);
  assert.equal(isOld(now({ entries: null }), now({})), false, "the device was asked for the first time, for the plan");
  for (const then of [{ last_push: "2026-10-13T09:00:02Z" }, { entries: 2 }, { mode: "dry-run" }, { name: "other" }]) {
    assert.equal(isOld(now({}), now(then)), true, JSON.stringify(then));
  }
  assert.equal(isOld(now({ drift: [] }), now({ drift: ["map file"] })), true);
  assert.equal(isOld(now({}), now({}, true)), true);
});

test("what was written of a policy is kept for who wrote it, until it is saved", () => {
  const kept = new Map<string, string>();
  const sessionStorage = { getItem: (key: string) => kept.get(key) ?? null, setItem: (key: string, value: string) => void kept.set(key, value), removeItem: (key: string) => void kept.delete(key) };
  Object.assign(globalThis, { window: { sessionStorage } });
  const [anna, otto] = [writtenKey("anna", "p.yaml"), writtenKey("otto", "p.yaml")];
  keepWritten(anna, { text: "rules: []\n", version: 3 });
  assert.deepEqual(readWritten(anna), { text: "rules: []\n", version: 3 });
  assert.equal(readWritten(otto), null);
  dropWritten(anna);
  assert.equal(readWritten(anna), null);
  for (const damaged of ["", "{", "[]", "7", '{"text": 1, "version": 1}']) {
    kept.set(anna, damaged);
    assert.equal(readWritten(anna), null, damaged);
  }
});

test("a campaign's pulse is drawn by time: a pause is as wide as it was", () => {
  const bars = pulse([[0, 4], [10, 2], [90, 4]]);
  assert.deepEqual(bars.map((bar) => [bar.x, bar.high]), [[0, 24], [10, 12], [90, 24]]);
  assert.equal(bars[0]?.width, 8);
  assert.deepEqual(pulse([[50, 7]]).map((bar) => [bar.x, bar.width, bar.high]), [[0, 10, 24]]);
  assert.deepEqual(pulse([]), []);
});

test("how soon a campaign was recognised is always said", () => {
  const row = { first_seen: "2026-10-13T09:00:00Z", detected_at: "2026-10-13T09:02:00Z", phase: "online" };
  assert.equal(recognised(row), "recognised after 2 min");
  assert.equal(recognised({ ...row, detected_at: "2026-10-13T08:59:00Z" }), "recognised at 2026-10-13 08:59:00 UTC");
  assert.equal(recognised({ ...row, phase: "retrospective" }), "recognised afterwards");
});
