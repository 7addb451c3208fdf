import type { FormEvent } from "react";
import { useState } from "react";

import { api } from "../api/client";
import type { MergedNotes } from "../api/types";
import { Act, Field, useAct, useMay } from "../ui/act";
import { Card } from "../ui/state";
import { Badge, Labels, T } from "../ui/text";

/** Labels, a note and where it applies an owner, kept with a thing. */
export function Notes({ path, touches, labels, note, owner, merged = [] }: { path: string; touches: string; labels: string[]; note: string | null; owner?: string | null; merged?: MergedNotes[] }) {
  // What was noted when somebody began to edit: what others note meanwhile is told, and kept where it is not edited.
  const [begun, setBegun] = useState<{ labels: string; note: string; owner: string } | null>(null);
  const noted = { labels: labels.join(", "), note: note ?? "", owner: owner ?? "" };
  const editing = begun !== null;
  const may = useMay("analyst");
  const save = useAct((body: Record<string, unknown>) => api.patch(path, body), { done: "Saved", touches: [touches, "overview"], then: () => setBegun(null) });
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const text = (name: string) => String(form.get(name) ?? "").trim();
    const changed = (name: "labels" | "note" | "owner") => text(name) !== begun?.[name].trim();
    save.mutate({
      ...(changed("labels") ? { labels: text("labels").split(",").map((label) => label.trim()).filter((label) => label !== "") } : {}),
      ...(changed("note") ? { note: text("note") || null } : {}),
      ...(owner === undefined || !changed("owner") ? {} : { owner: text("owner") || null }),
    });
  };
  return (
    <Card title="Notes" more={editing || !may ? null : <Act className="quiet" onClick={() => setBegun(noted)}>Edit</Act>}>
      {editing ? (
        <form className="stack" onSubmit={submit}>
          {JSON.stringify(begun) === JSON.stringify(noted) ? null : (
            <p className="notice warn">
              Somebody changed this meanwhile: <T>{[noted.owner, noted.labels, noted.note].filter((one) => one !== "").join(" · ") || "nothing is noted any more"}</T>. Save puts what you changed in its place.
            </p>
          )}
          {owner === undefined ? null : <Field label="Owner">{(id) => <input id={id} name="owner" defaultValue={begun.owner} />}</Field>}
          <Field label="Labels, with commas between" hint="At most 20, of 64 characters each; none can have a |.">{(id) => <input id={id} name="labels" defaultValue={begun.labels} />}</Field>
          <Field label="Note">{(id) => <textarea id={id} name="note" rows={4} defaultValue={begun.note} />}</Field>
          <div className="row end">
            <button type="button" className="btn" onClick={() => setBegun(null)}>
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
