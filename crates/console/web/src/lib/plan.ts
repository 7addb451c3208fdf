import { n } from "./format";

type Fields = Record<string, unknown>;

/** A line of a plan, or of what came of one. */
export interface PlanLine {
  device: string;
  what: string;
  whom: string;
  how: string;
  until: string | null;
  why: string;
  verdict: string | null;
}

/** What a plan comes to on one device. */
export interface PlanDevice {
  name: string;
  /** In words: what is added, refreshed, removed, and what stays. */
  text: string;
  /** Why it cannot be told, or is held. */
  trouble: string[];
}

const KINDS: [string, string][] = [
  ["add", "Add"],
  ["refresh", "Refresh"],
  ["remove", "Remove"],
  ["refused", "Not sent"],
  ["weaker", "Sent in another form"],
];

const ACTS: Record<string, string> = { add: "Add", refresh: "Refresh", remove: "Remove", undo: "Take back", expire: "Let go" };

function fields(of: unknown): Fields {
  return of !== null && typeof of === "object" && !Array.isArray(of) ? (of as Fields) : {};
}

function all(of: unknown): unknown[] {
  return Array.isArray(of) ? of : [];
}

function text(of: unknown): string {
  return typeof of === "string" ? of : of === null || of === undefined ? "" : JSON.stringify(of);
}

/** What an entry is compared with: `{"net": "192.0.2.1/32"}`, or a text. */
function whom(row: Fields): string {
  if (row["subject"] !== undefined) return text(row["subject"]);
  const key = row["key"];
  if (typeof key === "string") return key;
  return Object.entries(fields(key))
    .map(([name, value]) => (name === "net" || name === "ip" ? text(value) : `${name} ${text(value)}`))
    .join(", ");
}

/** Seconds since 1970, or a time that is written out. */
function moment(of: unknown): string | null {
  if (typeof of === "number") return of > 0 ? new Date(of * 1000).toISOString() : null;
  return typeof of === "string" && of !== "" ? of : null;
}

function line(device: string, what: string, of: unknown): PlanLine {
  const row = fields(of);
  const verdict = typeof row["verdict"] === "string" && row["verdict"] !== "" ? row["verdict"] : null;
  const why = text(row["why"] ?? row["answer"] ?? "");
  return { device, what, whom: whom(row), how: text(row["response"]), until: moment(row["expires_at"]), why, verdict };
}

/** The plan itself, and what came of an undo, which has one for each answer. */
function parts(plan: unknown): Fields[] {
  return [fields(plan), ...all(fields(plan)["undone"]).map(fields)];
}

/** Entry by entry what a plan does. */
export function planLines(plan: unknown): PlanLine[] {
  const lines: PlanLine[] = [];
  for (const part of parts(plan)) {
    for (const of of all(part["connectors"]).map(fields)) {
      const name = text(of["name"]);
      for (const [field, what] of KINDS) lines.push(...all(of[field]).map((row) => line(name, what, row)));
      lines.push(...all(of["repair"]).map((what) => ({ ...line(name, "Make anew", {}), whom: text(what) })));
      if (of["allow_changes"] === true) lines.push({ ...line(name, "Allow list", {}), whom: all(of["allow"]).map(text).join(", ") || "none" });
    }
    lines.push(...all(part["actions"]).map((row) => line(text(fields(row)["connector"]), ACTS[text(fields(row)["kind"])] ?? text(fields(row)["kind"]), row)));
    lines.push(...all(part["held"]).map((row) => line("", "Held", row)));
  }
  return lines;
}

/** A count of a plan: how long a list is, or the number itself. */
function count(of: unknown): number {
  return Array.isArray(of) ? of.length : typeof of === "number" ? of : 0;
}

const COUNTS: [string, string, string][] = [
  ["add", "added", "to add"],
  ["refresh", "refreshed", "to refresh"],
  ["remove", "removed", "to remove"],
  ["repair", "", "to make anew"],
  ["refused", "", "not sent"],
  ["keep", "", "stay"],
  ["held", "", "held"],
  ["waiting", "", "wait for the next minute"],
  ["stale", "", "stay until they are over: the list would shrink too much at once"],
  ["unknown", "", "of verdicts that are not known here, until they are over"],
];

/** Device by device what a plan comes to. */
export function planDevices(plan: unknown): PlanDevice[] {
  return parts(plan)
    .flatMap((part) => all(part["connectors"]).map(fields))
    .map((of) => {
      const outcome = text(of["outcome"]);
      const told = COUNTS.map(([planned, done, words]) => {
        const many = count(of[planned]) || (done ? count(of[done]) : 0);
        return many > 0 ? `${n(many)} ${done && outcome !== "planned" && count(of[done]) > 0 ? done : words}` : "";
      });
      // What a plan would change of the allow list; what came of one does not say.
      if (of["allow_changes"] === true) told.push("the allow list to change");
      const trouble = [text(of["error"]), text(of["guard"])];
      if (outcome === "failed" || outcome === "held") trouble.push(`${outcome}: ${text(of["answer"])}`);
      return { name: text(of["name"]), text: told.filter(Boolean).join(", ") || (text(of["error"]) ? "not known" : "nothing to change"), trouble: trouble.filter(Boolean) };
    });
}

/** What a plan depends on, as far as the page sees it. */
export interface PlanOf {
  killed?: boolean;
  devices: { name: string; mode: string; last_push: string | null; entries: number | null; wanted: number | null; drift?: string[] }[];
}

/** Whether a plan that was made by one is old by the other. What was not known of a device before makes none old. */
export function isOld(was: PlanOf, now: PlanOf): boolean {
  const differs = (a: unknown, b: unknown) => a !== null && a !== undefined && b !== null && b !== undefined && JSON.stringify(a) !== JSON.stringify(b);
  if (was.killed !== now.killed || was.devices.length !== now.devices.length) return true;
  return was.devices.some((before) => {
    const device = now.devices.find((one) => one.name === before.name);
    if (!device || device.mode !== before.mode || device.last_push !== before.last_push) return true;
    return differs(before.entries, device.entries) || differs(before.wanted, device.wanted) || differs(before.drift, device.drift);
  });
}
