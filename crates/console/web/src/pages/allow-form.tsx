import type { FormEvent } from "react";
import { useRef } from "react";

import { api } from "../api/client";
import { Act, Field, useAct } from "../ui/act";

const KINDS = [
  { id: "ip", name: "Address" },
  { id: "cidr", name: "Network" },
  { id: "session", name: "Session" },
  { id: "account", name: "Account" },
  { id: "api-key", name: "API key" },
  { id: "fingerprint", name: "Fingerprint" },
];

/** Puts somebody on the allow list. */
export function AllowForm() {
  const form = useRef<HTMLFormElement>(null);
  const add = useAct((body: Record<string, unknown>) => api.post<unknown>("/allow", body), { done: "On the allow list", touches: ["allow", "policies"], then: () => form.current?.reset() });
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const data = new FormData(event.currentTarget);
    const text = (name: string) => String(data.get(name) ?? "").trim();
    add.mutate({ kind: text("kind"), value: text("value"), reason: text("reason"), ...(text("until") ? { expires_at: `${text("until")}T00:00:00Z` } : {}) });
  };
  return (
    <form className="stack" ref={form} onSubmit={submit}>
      <Field label="Kind">
        {(id) => (
          <select id={id} name="kind" defaultValue="ip">
            {KINDS.map((kind) => (
              <option key={kind.id} value={kind.id}>
                {kind.name}
              </option>
            ))}
          </select>
        )}
      </Field>
      <Field label="Value" hint="An address, a network like 203.0.113.0/24, or as outputs spell it.">{(id) => <input id={id} name="value" className="mono" required />}</Field>
      <Field label="Reason">{(id) => <input id={id} name="reason" required />}</Field>
      <Field label="Until (empty: always)">{(id) => <input id={id} name="until" type="date" />}</Field>
      <div className="row end">
        <Act needs="operator" className="main" type="submit" disabled={add.isPending}>
          Add
        </Act>
      </div>
    </form>
  );
}
