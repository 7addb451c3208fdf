import type { ReactNode } from "react";
import { useState } from "react";

import { api } from "../api/client";
import type { PushAnswer } from "../lib/push";
import { outcome } from "../lib/push";
import { Act, Dialog, useAct, useSay } from "../ui/act";

/** Brings the devices to what policy asks for, after a question. */
export function Push({ label, question, detail, disabled, then }: { label: string; question: string; detail: ReactNode; disabled?: boolean; then?: () => void }) {
  const [open, setOpen] = useState(false);
  const [force, setForce] = useState(false);
  const say = useSay();
  const push = useAct(() => api.post<PushAnswer>("/mitigation/push", { force }), {
    touches: ["mitigation", "actions", "approvals", "audit", "campaigns"],
    then: (answer) => {
      const { ok, text } = outcome(answer);
      say(ok ? "ok" : "bad", text);
      then?.();
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
