import { useQuery } from "@tanstack/react-query";
import { useEffect, useRef } from "react";

import { api } from "../api/client";
import type { Exchange } from "../api/types";
import { bytes, counted, n } from "../lib/format";
import { words } from "../lib/text";
import { A, pathTo, useUrl } from "../lib/url";
import { Dialog, useMay } from "./act";
import { Exports } from "./export";
import { Empty, Shown } from "./state";
import { Badge, Facts, T, Time } from "./text";

function status(code: number | null | undefined) {
  if (code === null || code === undefined) return <Badge kind="warn">no answer seen</Badge>;
  return <Badge kind={code >= 500 ? "bad" : code >= 400 ? "warn" : "ok"}>{code}</Badge>;
}

type Head = [string, string][];

/** Heads in whatever form they are kept: pairs, or an object of values. */
function head(from: unknown): Head {
  if (Array.isArray(from)) {
    return from.flatMap((item): Head => {
      if (Array.isArray(item)) return [[String(item[0]), String(item[1] ?? "")]];
      if (item && typeof item === "object") {
        const field = item as Record<string, unknown>;
        return [[String(field["name"] ?? ""), String(field["value"] ?? "")]];
      }
      return [];
    });
  }
  if (from && typeof from === "object") {
    return Object.entries(from as Record<string, unknown>).flatMap(([name, value]) => (Array.isArray(value) ? value : [value]).map((one): [string, string] => [name, String(one)]));
  }
  return [];
}

interface Told {
  title: string;
  lead: string;
  headers: Head;
  body: string | null | undefined;
  size: number | null | undefined;
  attacks?: string[] | undefined;
}

function Message({ title, lead, headers, body, size, attacks }: Told) {
  return (
    <section className="stack">
      <h3>{title}</h3>
      <pre className="block" tabIndex={0} aria-label={title}>
        <T>{lead}</T>
        {headers.map(([name, value], at) => (
          <span key={at}>
            {"\n"}
            <b>
              <T>{name}</T>
            </b>
            : <T>{value}</T>
          </span>
        ))}
        {body ? (
          <>
            {"\n\n"}
            <T lines>{body}</T>
          </>
        ) : null}
      </pre>
      <p className="muted small">
        Body of {bytes(size ?? 0)}
        {body ? ", masked" : size ? ", not kept" : ""}.
      </p>
      {attacks && attacks.length > 0 ? (
        <>
          <p>Of what is too long to be shown whole, what was found to be an attack:</p>
          <pre className="block" tabIndex={0} aria-label={`${title}: what was found to be an attack`}>
            <T lines>{attacks.join("\n")}</T>
          </pre>
        </>
      ) : null}
    </section>
  );
}

/** One exchange, whole: who, when, what was asked and answered. Secrets in it are masked. */
export function ExchangeView({ row }: { row: Exchange }) {
  const request = row.http?.request as Record<string, unknown> | undefined;
  const response = row.http?.response as Record<string, unknown> | undefined;
  const actor = row.sidetap.actor;
  const requestBody = (request?.["body"] ?? {}) as { bytes?: number; content?: string };
  const responseBody = (response?.["body"] ?? {}) as { bytes?: number; content?: string };
  const code = row.http?.response?.status_code;
  return (
    <div className="stack loose">
      <div className="row">
        {status(code)}
        <Time at={row["@timestamp"]} precise />
        {row.event?.duration ? <span className="muted">answered in {n(row.event.duration / 1e6)} ms</span> : null}
        {row.weight && row.weight > 1 ? <Badge>stands for {n(row.weight)} like it</Badge> : null}
        {(row.why ?? []).map((why) => (
          <Badge key={why}>{words(why)}</Badge>
        ))}
        {(row.sidetap.completeness ?? []).map((flag) => (
          <Badge key={flag} kind="warn">
            {words(flag)}
          </Badge>
        ))}
      </div>
      <Message
        title="Request"
        lead={`${row.http?.request?.method ?? "?"} ${row.url?.original ?? row.url?.path ?? "?"}${row.http?.version ? ` HTTP/${row.http.version}` : ""}`}
        headers={
          head(request?.["headers"]).length > 0
            ? head(request?.["headers"])
            : ([
                ["Host", row.url?.domain],
                ["User-Agent", row.user_agent?.original],
              ].filter((pair) => pair[1]) as Head)
        }
        body={requestBody.content}
        size={requestBody.bytes}
        attacks={request?.["attacks"] as string[] | undefined}
      />
      {code === null || code === undefined ? null : (
        <Message title="Response" lead={`HTTP/${row.http?.version ?? "1.1"} ${code}`} headers={head(response?.["headers"])} body={responseBody.content} size={responseBody.bytes} />
      )}
      <Facts
        known
        of={[
          ["Client", row.client ? <T mono>{`${row.client.ip} port ${row.client.port}`}</T> : null],
          ["Known by", row.client ? words(row.client.ip_source) : null],
          ["Server", row.server ? <T mono>{`${row.server.ip} port ${row.server.port}`}</T> : null],
          ["Sessions", actor?.session?.length ? <T mono>{actor.session.join(", ")}</T> : null],
          ["Account", actor?.account ? <T mono>{actor.account}</T> : null],
          ["API key", actor?.["api-key"] ? <T mono>{actor["api-key"]}</T> : null],
          ["Fingerprints", actor?.fingerprint?.length ? <T mono>{actor.fingerprint.join(", ")}</T> : null],
          ["Anomalies", row.sidetap.anomalies?.length ? <T>{row.sidetap.anomalies.join(", ")}</T> : null],
          ["Endpoint", row.sidetap.endpoint ? <A href={pathTo.endpoint(row.sidetap.endpoint)}>Open it in the inventory</A> : null],
          ["Id", <A href={pathTo.exchange(row.sidetap.id)} title="A page of this exchange alone"><T mono>{row.sidetap.id}</T></A>],
        ]}
      />
    </div>
  );
}

/** Exchanges one by one, the one that is open in the address. j and k go on wherever the focus is, but where text is written; arrows where it is inside. */
function Reader({ rows }: { rows: Exchange[] }) {
  const { search, set } = useUrl();
  const box = useRef<HTMLDivElement>(null);
  const asked = search["exchange"];
  const found = asked === undefined ? 0 : rows.findIndex((one) => one.sidetap.id === asked);
  const at = Math.max(0, found);
  const row = rows[at];
  const step = (by: number) => {
    const next = Math.max(0, Math.min(rows.length - 1, at + by));
    set({ exchange: rows[next]?.sidetap.id });
  };
  const stepped = useRef(step);
  stepped.current = step;
  useEffect(() => {
    const pressed = (event: KeyboardEvent) => {
      const target = event.target as HTMLElement;
      const dialog = document.querySelector("dialog[open]");
      if (event.metaKey || event.ctrlKey || event.altKey || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName)) return;
      // What lies under a dialog has no keys.
      if (dialog && !dialog.contains(box.current)) return;
      const inside = box.current?.contains(target) ?? false;
      if (event.key === "j" || (inside && event.key === "ArrowRight")) stepped.current(1);
      if (event.key === "k" || (inside && event.key === "ArrowLeft")) stepped.current(-1);
    };
    window.addEventListener("keydown", pressed);
    return () => window.removeEventListener("keydown", pressed);
  }, []);
  if (!row) return null;
  return (
    <div className="stack" ref={box}>
      {asked !== undefined && found < 0 ? (
        <p className="notice warn">
          The exchange of this link is not among these any more: others were chosen since, or it was not kept. <A href={pathTo.exchange(asked)}>Look for it by itself</A>; below is the first of these.
        </p>
      ) : null}
      <div className="row">
        <button type="button" className="btn" onClick={() => step(-1)} disabled={at === 0}>
          ← Before
        </button>
        <span aria-live="polite">
          {at + 1} of {rows.length}
        </span>
        <button type="button" className="btn" onClick={() => step(1)} disabled={at >= rows.length - 1}>
          Next →
        </button>
      </div>
      <ExchangeView key={row.sidetap.id} row={row} />
    </div>
  );
}

interface Kept {
  rows: Exchange[];
  missing: string[];
  /** Of how many exchanges these were chosen fairly. */
  sample: { seen: number; kept: number } | null;
}

function KeptExchanges({ data }: { data: Kept }) {
  return (
    <div className="stack">
      {data.missing.length > 0 ? (
        <p className={data.rows.length > 0 ? "muted" : "notice warn"}>
          {counted(data.missing.length, "exchange that reasons name is", "exchanges that reasons name are")} not kept: over before anybody knew, or there was no room.
        </p>
      ) : null}
      {data.sample ? (
        <p className="notice info">
          {data.sample.kept === data.sample.seen
            ? `All ${n(data.sample.seen)} exchanges that were looked at.`
            : `${n(data.sample.kept)} of ${n(data.sample.seen)} exchanges, each as likely to be chosen as any other: one stands for ${n(Math.round((data.sample.seen / Math.max(1, data.sample.kept)) * 10) / 10)}.`}
          {data.rows.length > data.sample.kept ? " Those that reasons name come after them." : ""}
        </p>
      ) : null}
      {data.rows.length > 0 ? (
        <Reader rows={data.rows} />
      ) : (
        <Empty title="No exchange of it is kept">Evidence is bounded in size and age; the oldest goes first. Settings show the bounds.</Empty>
      )}
    </div>
  );
}

/** Exchanges of a campaign, an actor or a finding, one by one. Asking for them is written to the audit. */
export function Exchanges({ path }: { path: string }) {
  const may = useMay("analyst");
  const query = useQuery({ queryKey: ["exchanges", path], queryFn: ({ signal }) => api.get<Kept>(path, {}, signal), enabled: may });
  if (!may) return <Empty title="Exchanges are read by analysts">Each look at evidence is written to the audit.</Empty>;
  return (
    <Shown query={query}>
      {(data) => (
        <div className="stack">
          <p className="muted">Secrets are masked; this look is written to the audit.</p>
          {data.rows.length > 0 ? (
            <div className="row">
              <Exports path={path} />
            </div>
          ) : null}
          <KeptExchanges data={data} />
        </div>
      )}
    </Shown>
  );
}

/** The exchanges of what the address names, in a dialog, whether or not a list has loaded it. */
export function EvidenceOf({ path, title }: { path: (id: string) => string; title: string }) {
  const { search, set } = useUrl();
  const id = search["evidence"];
  return (
    <Dialog wide title={title} open={id !== undefined} close={() => set({ evidence: undefined, exchange: undefined })}>
      {id === undefined ? null : <Exchanges path={path(id)} />}
    </Dialog>
  );
}

/** What opens it; how many there are is said where it is known, and where there are none there is no button. */
export function EvidenceButton({ id, count }: { id: string; count: number | null }) {
  const may = useMay("analyst");
  const { set } = useUrl();
  if (count === 0) return null;
  return (
    <button type="button" className="btn small" disabled={!may} title={may ? undefined : "Needs the role analyst"} onClick={() => set({ evidence: id, exchange: undefined }, true)}>
      {count === null ? "Evidence" : `Evidence (${n(count)})`}
    </button>
  );
}

/** The exchanges that prove a reason or a finding, in a dialog. `name` is what the address calls it. */
export function Evidence({ ids, title, name }: { ids: string[]; title: string; name: string }) {
  const may = useMay("analyst");
  const { search, set } = useUrl();
  const open = may && search["evidence"] === name;
  const asked = ids.slice(0, 200).join(",");
  const query = useQuery({
    queryKey: ["exchanges", "ids", asked],
    queryFn: ({ signal }) => api.get<Kept>("/exchanges", { ids: asked }, signal),
    enabled: open && may && ids.length > 0,
  });
  if (ids.length === 0) return null;
  return (
    <>
      <button type="button" className="btn small" disabled={!may} title={may ? undefined : "Needs the role analyst"} onClick={() => set({ evidence: name, exchange: undefined }, true)}>
        Evidence ({ids.length})
      </button>
      <Dialog wide title={title} open={open} close={() => set({ evidence: undefined, exchange: undefined })}>
        <Shown query={query}>
          {(data) => (
            <div className="stack">
              {data.rows.length > 0 ? (
                <div className="row">
                  <Exports path="/exchanges" params={{ ids: asked }} />
                </div>
              ) : null}
              <KeptExchanges data={data} />
            </div>
          )}
        </Shown>
      </Dialog>
    </>
  );
}
