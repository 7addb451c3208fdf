import type { ReactNode } from "react";
import { useState } from "react";

import { api } from "../api/client";
import { Act, Dialog, useAct } from "../ui/act";

/** Brings the devices to what policy asks for, after a question. */
export function Push({ label, question, detail, done, disabled }: { label: string; question: string; detail: ReactNode; done: string; disabled?: boolean }) {
  const [open, setOpen] = useState(false);
  const [force, setForce] = useState(false);
  const push = useAct(() => api.post<unknown>("/mitigation/push", { force }), { done, touches: ["mitigation", "actions", "approvals", "audit", "campaigns"] });
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
