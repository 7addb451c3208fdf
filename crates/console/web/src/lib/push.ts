import { counted, n } from "./format";
import { unticked } from "./text";

/** What came of a push. */
export interface PushAnswer {
  connectors: {
    name: string;
    outcome: string;
    answer: string;
    added: number;
    refreshed: number;
    removed: number;
    refused?: number;
    unsent?: Record<string, number>;
  }[];
  held: { why: string }[];
}

/** What stands where something waits for somebody's word. */
const WAITS = "it waits for approval";

/** Reasons with how many they are of, the most frequent first; beyond three the others together. */
function reasons(of: [string, number][]): string {
  const all = [...of].sort((a, b) => b[1] - a[1]);
  const total = all.reduce((sum, one) => sum + one[1], 0);
  const told = all.slice(0, 3).map(([why, count]) => (count === total ? unticked(why) : `${n(count)}: ${unticked(why)}`));
  const rest = all.slice(3).reduce((sum, one) => sum + one[1], 0);
  return told.join("; ") + (rest > 0 ? `; ${n(rest)} for other reasons` : "");
}

/** One device: what was changed on it, and what was not sent to it. */
function device(c: PushAnswer["connectors"][number]): string {
  const changed = [c.added ? `${n(c.added)} added` : "", c.refreshed ? `${n(c.refreshed)} refreshed` : "", c.removed ? `${n(c.removed)} removed` : ""].filter(Boolean);
  const well = c.outcome === "done" || c.outcome === "unchanged";
  const did = well && changed.length > 0 ? changed.join(", ") : c.outcome === "done" ? "unchanged" : c.outcome;
  const answer = !well && c.answer ? ` (${unticked(c.answer)})` : "";
  const all = Object.entries(c.unsent ?? {});
  const asked = all.filter(([why]) => why.startsWith(WAITS)).reduce((sum, one) => sum + one[1], 0);
  const waits = asked > 0 ? `, ${counted(asked, "waits", "wait")} for approval under Policies` : "";
  const refused = Math.max(0, (c.refused ?? 0) - asked);
  const why = reasons(all.filter(([one]) => !one.startsWith(WAITS)));
  const unsent = refused > 0 ? `, ${n(refused)} not sent${why ? ` (${why})` : ""}` : "";
  return `${c.name}: ${did}${answer}${waits}${unsent}`;
}

/** What came of a push, device by device, what waits for approval, and why the rest was held. */
export function outcome({ connectors, held }: PushAnswer): { ok: boolean; text: string } {
  if (connectors.length === 0) return { ok: false, text: "Nothing was sent: no device is configured" };
  const others = new Map<string, number>();
  let waiting = 0;
  for (const { why } of held) {
    if (why.startsWith(WAITS)) waiting += 1;
    else others.set(why, (others.get(why) ?? 0) + 1);
  }
  const count = held.length - waiting;
  const parts = connectors.map(device);
  if (waiting > 0) parts.push(`${counted(waiting, "verdict waits", "verdicts wait")} for approval, under Policies`);
  if (count > 0) parts.push(`${counted(count, "verdict")} held: ${reasons([...others])}`);
  const well = connectors.every((c) => ["done", "unchanged"].includes(c.outcome));
  const changed = connectors.some((c) => c.added + c.refreshed + c.removed > 0);
  const left = held.length + connectors.reduce((sum, c) => sum + (c.refused ?? 0), 0);
  return { ok: well && (changed || left === 0), text: parts.join("; ") };
}
