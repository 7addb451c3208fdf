import type { ReactNode } from "react";
import { useState } from "react";

import { api } from "../api/client";
import { n } from "../lib/format";
import { Act, Dialog, useAct, useSay } from "../ui/act";

interface PushAnswer {
  connectors: { name: string; outcome: string; answer: string; added: number; refreshed: number; removed: number; refused?: number }[];
  held: { why: string }[];
}

/** What came of a push, device by device, and why the rest was held. */
function outcome({ connectors, held }: PushAnswer): { ok: boolean; text: string } {
  if (connectors.length === 0) return { ok: false, text: "Nothing was sent: no device is configured" };
  const devices = connectors.map((c) => {
    const changed = [c.added ? `${n(c.added)} added` : "", c.refreshed ? `${n(c.refreshed)} refreshed` : "", c.removed ? `${n(c.removed)} removed` : ""].filter(Boolean);
    const did = changed.length > 0 ? changed.join(", ") : c.outcome === "done" ? "unchanged" : c.outcome;
    return c.outcome === "failed" || c.outcome === "held" ? `${c.name}: ${c.outcome} (${c.answer})` : `${c.name}: ${did}`;
  });
  const reasons = new Map<string, number>();
  for (const { why } of held) reasons.set(why, (reasons.get(why) ?? 0) + 1);
  const most = [...reasons].sort((a, b) => b[1] - a[1])[0];
  const left = most ? `; ${n(held.length)} not sent, most of them: ${most[0]}` : "";
  const ok = connectors.every((c) => ["done", "unchanged"].includes(c.outcome)) && connectors.some((c) => c.added + c.refreshed + c.removed > 0 || held.length === 0);
  return { ok, text: devices.join("; ") + left };
}

/** Brings the devices to what policy asks for, after a question. */
export function Push({ label, question, detail, disabled }: { label: string; question: string; detail: ReactNode; disabled?: boolean }) {
  const [open, setOpen] = useState(false);
  const [force, setForce] = useState(false);
  const say = useSay();
  const push = useAct(() => api.post<PushAnswer>("/mitigation/push", { force }), {
    touches: ["mitigation", "actions", "approvals", "audit", "campaigns"],
    then: (answer) => {
      const { ok, text } = outcome(answer);
      say(ok ? "ok" : "bad", text);
    },
  });
  return (
    <>
      <Act needs="operator" className="main" disabled={disabled || push.isPending} onClick={() => setOpen(true)}>
        {label}
      </Act>
      <Dialog title={question} open={open} close={() => setOpen(false)}>
        {detail}
        <label className="check">
          <input type="checkbox" checked={force} onChange={(event) => setForce(event.target.checked)} />
          Old verdicts too, as those of a capture that was replayed
        </label>
        <div className="row end">
          <button type="button" className="btn" onClick={() => setOpen(false)}>
            Cancel
          </button>
          <button
            type="button"
            className="btn main"
            onClick={() => {
              setOpen(false);
              push.mutate(undefined);
            }}
          >
            Push
          </button>
        </div>
      </Dialog>
    </>
  );
}
