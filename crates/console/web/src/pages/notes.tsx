import type { FormEvent } from "react";
import { useState } from "react";

import { api } from "../api/client";
import type { MergedNotes } from "../api/types";
import { Act, Field, useAct, useMay } from "../ui/act";
import { Card } from "../ui/state";
import { Badge, Labels, T } from "../ui/text";

/** Labels, a note and where it applies an owner, kept with a thing. */
export function Notes({ path, touches, labels, note, owner, merged = [] }: { path: string; touches: string; labels: string[]; note: string | null; owner?: string | null; merged?: MergedNotes[] }) {
  const [editing, setEditing] = useState(false);
  const may = useMay("analyst");
  const save = useAct((body: Record<string, unknown>) => api.patch(path, body), { done: "Saved", touches: [touches, "overview"], then: () => setEditing(false) });
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const text = (name: string) => String(form.get(name) ?? "").trim();
    save.mutate({
      labels: text("labels").split(",").map((label) => label.trim()).filter((label) => label !== ""),
      note: text("note") || null,
      ...(owner === undefined ? {} : { owner: text("owner") || null }),
    });
  };
  return (
    <Card title="Notes" more={editing || !may ? null : <Act className="quiet" onClick={() => setEditing(true)}>Edit</Act>}>
      {editing ? (
        <form className="stack" onSubmit={submit}>
          {owner === undefined ? null : <Field label="Owner">{(id) => <input id={id} name="owner" defaultValue={owner ?? ""} />}</Field>}
          <Field label="Labels, with commas between" hint="At most 20, of 64 characters each; none can have a |.">{(id) => <input id={id} name="labels" defaultValue={labels.join(", ")} />}</Field>
          <Field label="Note">{(id) => <textarea id={id} name="note" rows={4} defaultValue={note ?? ""} />}</Field>
          <div className="row end">
            <button type="button" className="btn" onClick={() => setEditing(false)}>
              Cancel
            </button>
            <button type="submit" className="btn main" disabled={save.isPending}>
              Save
            </button>
          </div>
        </form>
      ) : (
        <div className="stack">
          {owner ? (
            <p>
              Owner: <T>{owner}</T>
            </p>
          ) : null}
          {labels.length > 0 ? (
            <div className="row">
              <Labels labels={labels} />
            </div>
          ) : null}
          {note ? (
            <p className="break">
              <T>{note}</T>
            </p>
          ) : null}
          {labels.length === 0 && !note && !owner ? <p className="muted">Nothing noted.</p> : null}
          {merged.length > 0 ? <Merged merged={merged} owner={owner ?? null} note={note} /> : null}
        </div>
      )}
    </Card>
  );
}

/** What was said of endpoints that were merged into this one, and where it contradicts what is said of this one. */
function Merged({ merged, owner, note }: { merged: MergedNotes[]; owner: string | null; note: string | null }) {
  const differs = (of: MergedNotes) => (of.owner !== null && of.owner !== owner) || (of.note !== null && of.note !== note);
  return (
    <details open={merged.some(differs)}>
      <summary>Noted of what was merged into it</summary>
      <ul className="stack">
        {merged.map((of) => (
          <li key={of.id}>
            <T mono>{of.template ? `${of.method ?? ""} ${of.template}` : of.id}</T> <Labels labels={of.labels} />
            {of.owner ? (
              <span className="sub">
                Owner: <T>{of.owner}</T> {of.owner === owner ? null : <Badge kind="warn">another one</Badge>}
              </span>
            ) : null}
            {of.note ? (
              <span className="sub break">
                <T>{of.note}</T> {of.note === note ? null : <Badge kind="warn">another note</Badge>}
              </span>
            ) : null}
          </li>
        ))}
      </ul>
    </details>
  );
}
