import type { FormEvent } from "react";
import { useState } from "react";

import type { FindingItem, WorkStatus } from "../api/types";
import { words } from "../lib/text";
import { Field, useMay, useSession } from "../ui/act";
import { T } from "../ui/text";

export interface Work {
  status: WorkStatus;
  assignee?: string | null;
  expires_at?: string | null;
  note?: string;
  scope?: "finding" | "endpoint" | "rule";
}

const STATES: { id: WorkStatus; name: string; hint: string }[] = [
  { id: "open", name: "Open", hint: "Nobody works on it." },
  { id: "assigned", name: "Assigned", hint: "Somebody works on it." },
  { id: "accepted", name: "Accept the risk", hint: "It leaves the list until the day given, then it is open again." },
  { id: "false-positive", name: "False positive", hint: "It is no finding; say how far that goes." },
  { id: "fixed", name: "Fixed", hint: "It opens again by itself if it is seen later than now." },
];

/** A day some weeks from now, as an input wants it. */
function inDays(days: number): string {
  return new Date(Date.now() + days * 86_400_000).toISOString().slice(0, 10);
}

/** Says what is done about a finding; what somebody began to say stays while others change it. */
export function WorkOn({ finding, save, busy }: { finding: FindingItem; save: (work: Work) => Promise<unknown>; busy: boolean }) {
  const [begun, setBegun] = useState<FindingItem | null>(null);
  const shown = begun ?? finding;
  const stamp = (of: FindingItem) => of.work.updated_at ?? "";
  return (
    <div className="stack" onChange={() => setBegun((of) => of ?? finding)}>
      {stamp(shown) === stamp(finding) ? null : (
        <div className="notice warn">
          <p>
            <T>{finding.work.updated_by ?? "Somebody"}</T> changed it meanwhile: {words(finding.work.status).toLowerCase()}
            {finding.work.note ? (
              <>
                , “<T>{finding.work.note}</T>”
              </>
            ) : null}
            . Save puts yours in its place.
          </p>
          <button type="button" className="btn small" onClick={() => setBegun(null)}>
            Show theirs
          </button>
        </div>
      )}
      <WorkForm key={stamp(shown)} finding={shown} save={(work) => void save(work).then(() => setBegun(null), () => undefined)} busy={busy} />
    </div>
  );
}

/** Says what is done about a finding. */
export function WorkForm({ finding, save, busy, scope = true }: { finding?: FindingItem; save: (work: Work) => void; busy: boolean; scope?: boolean }) {
  const session = useSession();
  const may = useMay("analyst");
  const [status, setStatus] = useState<WorkStatus>(finding?.work.status ?? "assigned");
  const noted = finding?.work.note ?? "";
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const text = (name: string) => String(form.get(name) ?? "").trim();
    const work: Work = { status };
    if (text("note") !== noted) work.note = text("note");
    if (status === "assigned") work.assignee = text("assignee") || null;
    if (status === "accepted") work.expires_at = `${text("until")}T00:00:00Z`;
    if (form.has("scope")) work.scope = text("scope") as Work["scope"];
    save(work);
  };
  return (
    <form className="stack" onSubmit={submit}>
      <Field label="State" hint={STATES.find((one) => one.id === status)?.hint}>
        {(id) => (
          <select id={id} value={status} onChange={(event) => setStatus(event.target.value as WorkStatus)}>
            {STATES.map((one) => (
              <option key={one.id} value={one.id}>
                {one.name}
              </option>
            ))}
          </select>
        )}
      </Field>
      {status === "assigned" ? <Field label="To">{(id) => <input id={id} name="assignee" defaultValue={finding?.work.assignee ?? session.user.name} />}</Field> : null}
      {status === "accepted" ? <Field label="Until">{(id) => <input id={id} name="until" type="date" required min={inDays(1)} defaultValue={finding?.work.expires_at?.slice(0, 10) ?? inDays(90)} />}</Field> : null}
      {scope && (status === "false-positive" || (status === "open" && finding?.work.status === "false-positive")) ? (
        <Field label="How far">
          {(id) => (
            <select id={id} name="scope" defaultValue="finding">
              <option value="finding">This finding alone</option>
              <option value="endpoint">This rule at this endpoint, later ones too</option>
              <option value="rule">This rule everywhere, later ones too</option>
            </select>
          )}
        </Field>
      ) : null}
      <Field label="Note">{(id) => <textarea id={id} name="note" rows={3} defaultValue={noted} />}</Field>
      <div className="row end">
        <button type="submit" className="btn main" disabled={busy || !may} title={may ? undefined : "Needs the role analyst"}>
          Save
        </button>
      </div>
    </form>
  );
}
