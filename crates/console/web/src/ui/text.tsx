import type { ReactNode } from "react";

import { between, clock, n, time } from "../lib/format";
import { className, pieces, words } from "../lib/text";
import { A, pathTo } from "../lib/url";

/** Text from traffic: as text, in a direction of its own, with nothing invisible in it. */
export function T({ children, mono, lines }: { children: string | number | null | undefined; mono?: boolean; lines?: boolean }) {
  if (children === null || children === undefined || children === "") return <span className="muted">–</span>;
  return (
    <bdi className={mono ? "mono break" : "break"}>
      {pieces(String(children), lines).map((piece, at) =>
        piece.hidden ? (
          <span key={at} className="hidden-char" title="An invisible character of the traffic">
            {piece.text}
          </span>
        ) : (
          piece.text
        ),
      )}
    </bdi>
  );
}

export function Badge({ kind, children }: { kind?: string; children: ReactNode }) {
  return <span className={`badge ${kind ?? ""}`}>{children}</span>;
}

/** A word of a closed set, with its colour. */
export function Word({ id }: { id: string | null | undefined }) {
  return id ? <Badge kind={id}>{words(id)}</Badge> : <span className="muted">–</span>;
}

export function ClassName({ id, oat }: { id: string | null | undefined; oat?: string[] }) {
  return (
    <>
      {className(id)}
      {oat && oat.length > 0 ? <span className="muted small"> {oat.join(", ")}</span> : null}
    </>
  );
}

export function Time({ at, precise }: { at: string | null | undefined; precise?: boolean }) {
  if (!at) return <span className="muted">–</span>;
  return (
    <time dateTime={at} title={`${at} (UTC)`} className="nowrap">
      {time(at, precise)}
    </time>
  );
}

export function Span({ from, to }: { from: string; to: string }) {
  const sameDay = from.slice(0, 10) === to.slice(0, 10);
  return (
    <span className="nowrap" title={`${from} to ${to} (UTC)`}>
      {time(from)}
      {to === from ? null : (
        <>
          {" "}
          – {sameDay ? clock(to) : time(to)} <span className="muted">({between(from, to)})</span>
        </>
      )}
    </span>
  );
}

export function Meter({ value, of = 100, kind, label }: { value: number; of?: number; kind?: string; label?: string }) {
  const share = of > 0 ? Math.max(0, Math.min(1, value / of)) : 0;
  return (
    <span className="meter" aria-hidden={label ? undefined : true} role={label ? "img" : undefined} aria-label={label}>
      <span className={kind ?? ""} style={{ width: `${share * 100}%` }} />
    </span>
  );
}

export function Score({ value, kind }: { value: number; kind?: string }) {
  return (
    <span className="score">
      <span>{value}</span>
      <Meter value={value} kind={kind} />
    </span>
  );
}

export function EndpointName({ method, host, template, id }: { method: string; host?: string; template: string; id?: string }) {
  const inner = (
    <>
      <span className="method">{method}</span>
      <span className="path">
        <T>{host ? `${host}${template}` : template}</T>
      </span>
    </>
  );
  return id ? <A href={pathTo.endpoint(id)}>{inner}</A> : <span>{inner}</span>;
}

export function Labels({ labels }: { labels: string[] | undefined }) {
  return (
    <>
      {(labels ?? []).map((label) => (
        <Badge key={label}>
          <T>{label}</T>
        </Badge>
      ))}
    </>
  );
}

export type Pairs = [string, number][];

/** Counts in whatever form they come, greatest first. */
export function pairs(from: unknown): Pairs {
  let out: Pairs = [];
  if (Array.isArray(from)) {
    out = from.map((item): [string, number] => {
      if (Array.isArray(item)) return [String(item[0]), Number(item[1] ?? 0)];
      if (item && typeof item === "object") {
        const row = item as Record<string, unknown>;
        const name = row["name"] ?? row["organization"] ?? row["country"] ?? row["value"] ?? row["asn"];
        return [String(name ?? "unknown"), Number(row["members"] ?? row["count"] ?? row["n"] ?? 1)];
      }
      return [String(item), 1];
    });
  } else if (from && typeof from === "object") {
    out = Object.entries(from as Record<string, unknown>).map(([name, value]) => [name, Number(value)]);
  }
  return out.sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
}

/** Names with bars, greatest first. */
export function Bars({ of, most = 8, kind, name }: { of: unknown; most?: number; kind?: (name: string) => string; name?: (name: string) => ReactNode }) {
  const rows = pairs(of).slice(0, most);
  const top = Math.max(1, ...rows.map((row) => row[1]));
  return (
    <ul className="bars">
      {rows.map(([label, value]) => (
        <li key={label}>
          <span className="name">{name ? name(label) : <T>{label}</T>}</span>
          <Meter value={value} of={top} kind={kind?.(label)} />
          <span className="num">{n(value)}</span>
        </li>
      ))}
    </ul>
  );
}

/** Names and what is known; with `known`, only those of which something is. */
export function Facts({ of, known }: { of: [string, ReactNode][]; known?: boolean }) {
  const empty = (value: ReactNode) => value === null || value === undefined || value === "";
  return (
    <dl className="facts">
      {of.filter(([, value]) => !known || !empty(value)).map(([name, value]) => (
        <div key={name} style={{ display: "contents" }}>
          <dt>{name}</dt>
          <dd>{empty(value) ? <span className="muted">–</span> : value}</dd>
        </div>
      ))}
    </dl>
  );
}
