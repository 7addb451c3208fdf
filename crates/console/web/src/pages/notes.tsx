import type { FormEvent } from "react";
import { useState } from "react";

import { api } from "../api/client";
import { Act, Field, useAct, useMay } from "../ui/act";
import { Card } from "../ui/state";
import { Labels, T } from "../ui/text";

/** Labels, a note and where it applies an owner, kept with a thing. */
export function Notes({ path, touches, labels, note, owner }: { path: string; touches: string; labels: string[]; note: string | null; owner?: string | null }) {
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
          <Field label="Labels, with commas between">{(id) => <input id={id} name="labels" defaultValue={labels.join(", ")} />}</Field>
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
        </div>
      )}
    </Card>
  );
}
