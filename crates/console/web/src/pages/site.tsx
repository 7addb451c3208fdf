import { useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";

import { api } from "../api/client";
import type { Conformance, Difference, Reshaped, Spec, Template } from "../api/types";
import { bytes, counted, n } from "../lib/format";
import { useApi } from "../lib/use";
import { A, to, useUrl } from "../lib/url";
import { Act, Confirm, Dialog, Field, messageOf, useAct } from "../ui/act";
import type { Column } from "../ui/list";
import { Exports, RowExports } from "../ui/export";
import { List } from "../ui/list";
import { Card, Empty, Shown } from "../ui/state";
import { Badge, Facts, T, Time } from "../ui/text";

const NEXT_RUN = "The next replay, or the next start of a watch, goes by it.";

const specColumns: Column<Spec>[] = [
  { id: "name", name: "Description", sort: "name", wide: true, cell: (row) => <A href={to("/inventory", { view: "specs", spec: row.name })}><T>{row.name}</T></A> },
  { id: "operations", name: "Operations", num: true, cell: (row) => n(row.operations) },
  { id: "bytes", name: "Size", num: true, cell: (row) => bytes(row.bytes) },
  { id: "at", name: "Given", sort: "-at", cell: (row) => <Time at={row.at} /> },
  { id: "by", name: "By", cell: (row) => <span className="who"><T>{row.by}</T></span> },
  { id: "error", name: "Readable", cell: (row) => (row.error ? <Badge kind="bad">{row.error}</Badge> : "yes") },
];

/** Descriptions that were given, and what was seen against one of them. */
export function Specs() {
  const { search } = useUrl();
  const chosen = search["spec"] ?? "";
  return (
    <div className="stack loose">
      {chosen ? <Held name={chosen} /> : null}
      <Card title="Descriptions of the APIs" more={<Upload />} flush>
        <List<Spec>
          path="/specs"
          caption="Descriptions"
          columns={specColumns}
          rowId={(row) => row.name}
          sort="name"
          href={(row) => to("/inventory", { view: "specs", spec: row.name })}
          empty={<Empty title="No description was given">Give the OpenAPI document of an API, and what is called without being in it is shown as shadow. {NEXT_RUN}</Empty>}
        />
      </Card>
    </div>
  );
}

function Upload() {
  const [open, setOpen] = useState(false);
  const [name, setName] = useState("");
  const [text, setText] = useState("");
  const save = useAct(() => api.put<{ operations: number }>(`/specs/${encodeURIComponent(name.trim())}`, { text }), {
    done: (out) => `Kept with ${counted(out.operations, "operation")}. ${NEXT_RUN}`,
    touches: ["specs"],
    then: () => setOpen(false),
  });
  const read = (file: File | undefined) => {
    if (!file) return;
    if (name === "") setName(file.name.replace(/\.(json|ya?ml)$/i, ""));
    void file.text().then(setText);
  };
  return (
    <>
      <Act needs="analyst" onClick={() => setOpen(true)}>
        Give a description…
      </Act>
      <Dialog wide title="Give a description" open={open} close={() => setOpen(false)}>
        <form
          className="stack"
          onSubmit={(event) => {
            event.preventDefault();
            save.mutate(undefined);
          }}
        >
          <Field label="File" hint="OpenAPI 2.0, 3.0 or 3.1, JSON or YAML, at most 8 MiB.">
            {(id) => <input id={id} type="file" accept=".json,.yaml,.yml,application/json" onChange={(event) => read(event.target.files?.[0])} />}
          </Field>
          <Field label="Name" hint={/^\.\.?$/.test(name.trim()) ? "Not . or ..: it could not be opened." : "One of the same name is replaced."}>
            {(id) => <input id={id} value={name} required maxLength={100} onChange={(event) => setName(event.target.value)} />}
          </Field>
          <Field label="Text">{(id) => <textarea id={id} className="mono" rows={10} value={text} required onChange={(event) => setText(event.target.value)} />}</Field>
          <div className="row end">
            <Act type="submit" className="main" needs="analyst" disabled={save.isPending || text === "" || name.trim() === "" || /^\.\.?$/.test(name.trim())}>
              Keep it
            </Act>
          </div>
        </form>
      </Dialog>
    </>
  );
}

const KINDS: [keyof Conformance, string, string][] = [
  ["undocumented_endpoints", "Endpoints that it does not describe", "shadow"],
  ["undocumented_methods", "Described paths called with other methods", "shadow"],
  ["undocumented_parameters", "Parameters that it does not name", "warn"],
  ["undocumented_statuses", "Status codes that it does not name", "warn"],
  ["deprecated_calls", "Deprecated, and still called", "warn"],
  ["unseen_operations", "Described, and not seen", ""],
];

const SHOWN = 200;

function Held({ name }: { name: string }) {
  const query = useApi<Conformance>(`/specs/${encodeURIComponent(name)}/conformance`);
  const { set } = useUrl();
  const remove = useAct(() => api.delete<void>(`/specs/${encodeURIComponent(name)}`), { done: `Removed. ${NEXT_RUN}`, touches: ["specs"], then: () => set({ view: "specs", spec: undefined }, true) });
  return (
    <Card
      title={
        <>
          What was seen against <T>{name}</T>
        </>
      }
      more={
        <span className="row">
          <Exports path={`/specs/${encodeURIComponent(name)}/conformance`} />
          <Confirm needs="analyst" label="Remove" question="Remove this description?" detail={<p className="muted">{NEXT_RUN}</p>} yes="Remove" act={() => remove.mutate(undefined)} />
        </span>
      }
    >
      <Shown query={query}>
        {(held) => (
          <div className="stack loose">
            <Facts
              of={[
                ["Operations described", n(held.operations)],
                ["Endpoints seen and described", n(held.documented_endpoints)],
                ["Seen and not described", n(held.undocumented_endpoints.length + held.undocumented_methods.length)],
              ]}
            />
            {KINDS.every(([kind]) => (held[kind] as Difference[]).length === 0) ? <p className="notice ok">What was seen is what it describes.</p> : null}
            {KINDS.map(([kind, title, badge]) => (
              <Differences key={kind} title={title} badge={badge} rows={held[kind] as Difference[]} />
            ))}
          </div>
        )}
      </Shown>
    </Card>
  );
}

function Differences({ title, badge, rows }: { title: string; badge: string; rows: Difference[] }) {
  if (rows.length === 0) return null;
  return (
    <section className="stack">
      <h3>
        {title} <Badge kind={badge}>{n(rows.length)}</Badge>
      </h3>
      <div className="table-wrap" tabIndex={0} role="region" aria-label={title}>
        <table>
          <thead>
            <tr>
              <th scope="col">Endpoint</th>
              <th scope="col">What</th>
              <th scope="col" className="num">
                Calls
              </th>
            </tr>
          </thead>
          <tbody>
            {rows.slice(0, SHOWN).map((row, at) => (
              <tr key={at}>
                <td className="wide">
                  <T mono>{`${row.method} ${row.host}${row.template}`}</T>
                </td>
                <td>
                  <T>{row.what ?? ""}</T>
                </td>
                <td className="num">{n(row.calls)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {rows.length > SHOWN ? <p className="muted small">The first {SHOWN}; the API has all.</p> : null}
    </section>
  );
}

/** Endpoints that people merged or told apart. */
export function Templates() {
  const remove = useAct((id: number) => api.delete<void>(`/templates/${id}`), { done: `Taken back. ${NEXT_RUN}`, touches: ["templates"] });
  const columns: Column<Template>[] = [
    { id: "kind", name: "What", cell: (row) => <Badge kind="info">{row.kind === "merge" ? "merged" : "told apart"}</Badge> },
    { id: "template", name: "Template", sort: "template", wide: true, cell: (row) => <T mono>{`${row.method} ${row.host}${row.template}`}</T> },
    { id: "reason", name: "Why", wide: true, cell: (row) => <T>{row.reason}</T> },
    { id: "by", name: "By", cell: (row) => <span className="who"><T>{row.by}</T></span> },
    { id: "at", name: "Since", sort: "-at", cell: (row) => <Time at={row.at} /> },
    {
      id: "remove",
      name: "Undo",
      cell: (row) => <Confirm needs="analyst" label="Take back" question="Take this template back?" detail={<p className="muted">{NEXT_RUN}</p>} yes="Take back" act={() => remove.mutate(row.id)} />,
    },
  ];
  return (
    <Card title="Endpoints merged or told apart" flush>
      <List<Template>
        path="/templates"
        caption="Templates"
        columns={columns}
        rowId={(row) => String(row.id)}
        sort="-at"
        empty={<Empty title="Nothing was merged or told apart by hand">An endpoint’s page has “Merge or tell apart”, for where what was learned is wrong.</Empty>}
      />
    </Card>
  );
}

/** Says which path is one endpoint, where what was learned is wrong. */
export function Reshape({ host, method, template }: { host: string; method: string; template: string }) {
  const [open, setOpen] = useState(false);
  const [path, setPath] = useState(template);
  const [reason, setReason] = useState("");
  const add = useAct(() => api.post<Template>("/templates", { host, method, template: path.trim(), reason: reason.trim() }), {
    done: (out) => `${out.kind === "merge" ? "Merged" : "Told apart"}. ${NEXT_RUN}`,
    touches: ["templates"],
    then: () => setOpen(false),
  });
  const merges = path.includes("{");
  return (
    <>
      <Act needs="analyst" onClick={() => setOpen(true)}>
        Merge or tell apart…
      </Act>
      <Dialog wide title="Merge or tell apart" open={open} close={() => setOpen(false)}>
        <form
          className="stack"
          onSubmit={(event) => {
            event.preventDefault();
            add.mutate(undefined);
          }}
        >
          <p className="muted">
            Put <code>{"{name}"}</code> where the path varies, to merge its endpoints into one; write a path out to tell it from the others. {NEXT_RUN}
          </p>
          <Field label={`Path of ${method} ${host}`} hint={merges ? "All paths that fit become one endpoint: of every method, and so do those below it." : "This one path becomes an endpoint of its own: for every method, and so does what is below it."}>
            {(id) => <input id={id} className="mono" value={path} required maxLength={2000} onChange={(event) => setPath(event.target.value)} />}
          </Field>
          {open ? <Touched host={host} method={method} template={path.trim()} /> : null}
          <Field label="Why">{(id) => <input id={id} value={reason} maxLength={1000} onChange={(event) => setReason(event.target.value)} />}</Field>
          <div className="row end">
            <Act type="submit" className="main" needs="analyst" disabled={add.isPending || !path.startsWith("/")}>
              {merges ? "Merge" : "Tell apart"}
            </Act>
          </div>
        </form>
      </Dialog>
    </>
  );
}

/** Endpoints that the list of a template shows at once. */
const TOUCHED = 50;

/** What a template would merge, or tell apart, before it is set. */
function Touched({ host, method, template }: { host: string; method: string; template: string }) {
  const [asked, setAsked] = useState(template);
  useEffect(() => {
    const timer = window.setTimeout(() => setAsked(template), 250);
    return () => window.clearTimeout(timer);
  }, [template]);
  const query = useQuery({
    queryKey: ["templates", "check", host, asked],
    queryFn: () => api.post<{ rows: Reshaped[]; total: number }>("/templates/check", { host, method, template: asked }),
    enabled: asked.startsWith("/") && asked.split("/").every((part) => part.split("{").length === part.split("}").length),
    retry: false,
  });
  if (query.isError) return <p className="notice bad">{messageOf(query.error)}</p>;
  if (!query.data) return null;
  const { rows, total } = query.data;
  if (total === 0) return <p className="notice">Of the endpoints that are known it changes none.</p>;
  return (
    <section className="card stack" aria-live="polite">
      <div className="row">
        <h3>
          What it does to the endpoints that are known <Badge>{n(total)}</Badge>
        </h3>
        <RowExports name="What the template does" rows={() => rows.map((row) => ({ ...row }))} />
      </div>
      <div className="table-wrap" tabIndex={0} role="region" aria-label="What the template does" style={{ maxHeight: "18rem", overflowY: "auto" }}>
        <table>
          <thead>
            <tr>
              <th scope="col">Endpoint</th>
              <th scope="col">Becomes</th>
              <th scope="col" className="num">
                Calls
              </th>
            </tr>
          </thead>
          <tbody>
            {rows.slice(0, TOUCHED).map((row) => (
              <tr key={row.id}>
                <td className="wide">
                  <T mono>{`${row.method} ${row.template}`}</T>
                </td>
                <td className="wide">
                  {row.what === "split" ? "told from it: " : "part of "}
                  <T mono>{`${row.method} ${row.becomes}`}</T>
                </td>
                <td className="num">{n(row.calls)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {total > TOUCHED ? <p className="muted small">The first {TOUCHED} of {n(total)}.</p> : null}
    </section>
  );
}
