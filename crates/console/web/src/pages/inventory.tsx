import { useMemo } from "react";

import { apiUrl } from "../api/client";
import type { EndpointRow, HostItem, Page as Rows } from "../api/types";
import { band, counted, n } from "../lib/format";
import { plain, words } from "../lib/text";
import { useApi } from "../lib/use";
import { A, pathTo, to, useUrl } from "../lib/url";
import type { Column } from "../ui/list";
import { List, TextFilter } from "../ui/list";
import { Page, Tabs } from "../ui/page";
import { Card, Empty, Shown } from "../ui/state";
import { Badge, EndpointName, Score, T, Time, Word } from "../ui/text";
import { endpointColumns } from "./columns";
import { METHODS, PROTOCOLS, STANDINGS } from "./options";
import { Specs, Templates } from "./site";

export function InventoryPage() {
  const { search } = useUrl();
  const view = search["view"] ?? (search["host"] ? "map" : "hosts");
  return (
    <Page title="Inventory" lead="Every API endpoint that was called, documented or not.">
      <Tabs
        label="Views of the inventory"
        chosen={view}
        href={(id) => to("/inventory", id === "hosts" ? {} : { view: id, host: search["host"] })}
        tabs={[
          { id: "hosts", name: "Hosts" },
          { id: "map", name: "Site map" },
          { id: "table", name: "All endpoints" },
          { id: "specs", name: "Descriptions" },
          { id: "templates", name: "Merged by hand" },
        ]}
      />
      {view === "specs" ? <Specs /> : view === "templates" ? <Templates /> : view === "table" ? <Table /> : view === "map" ? <SiteMap host={search["host"] ?? ""} /> : <Hosts />}
    </Page>
  );
}

const hostColumns: Column<HostItem>[] = [
  {
    id: "host",
    name: "Host",
    sort: "host",
    wide: true,
    cell: (row) => (
      <>
        <A href={to("/inventory", { view: "map", host: row.host })}>
          <T>{row.host}</T>
        </A>
        <span className="sub">{Object.keys(row.protocols).join(", ")}</span>
      </>
    ),
  },
  { id: "risk", name: "Risk", sort: "-risk", num: true, cell: (row) => <Score value={row.risk} kind={band(row.risk)} /> },
  { id: "endpoints", name: "Endpoints", sort: "-endpoints", num: true, cell: (row) => n(row.endpoints) },
  { id: "shadow", name: "Shadow", num: true, cell: (row) => (row.standing["shadow"] ? <Badge kind="shadow">{row.standing["shadow"]}</Badge> : <span className="muted">0</span>) },
  { id: "auth", name: "Auth", cell: (row) => Object.keys(row.auth).join(", ") || "–" },
  { id: "sensitive", name: "Sensitive data", wide: true, cell: (row) => (row.sensitive.length > 0 ? row.sensitive.slice(0, 5).join(", ") + (row.sensitive.length > 5 ? ` +${row.sensitive.length - 5}` : "") : <span className="muted">–</span>) },
  { id: "findings", name: "Open findings", num: true, cell: (row) => n(row.findings_open) },
  { id: "calls", name: "Calls", sort: "-calls", num: true, cell: (row) => n(row.calls) },
  { id: "last", name: "Last seen", sort: "-last_seen", cell: (row) => <Time at={row.last_seen} /> },
];

function Hosts() {
  return (
    <Card flush>
      <List<HostItem>
        path="/hosts"
        caption="Hosts"
        columns={hostColumns}
        rowId={(row) => row.host}
        sort="-risk"
        href={(row) => to("/inventory", { view: "map", host: row.host })}
        empty={<Empty title="No host was seen">Hosts appear with the first exchange that names one.</Empty>}
      />
    </Card>
  );
}

function Table() {
  return (
    <Card flush>
      <List<EndpointRow>
        path="/endpoints"
        caption="Endpoints"
        columns={endpointColumns}
        rowId={(row) => row.id}
        sort="-risk"
        href={(row) => pathTo.endpoint(row.id)}
        filters={[
          { name: "host", label: "Host" },
          { name: "method", label: "Method", options: METHODS },
          { name: "standing", label: "Standing", options: STANDINGS.map((id) => ({ value: id, name: words(id) })) },
          { name: "protocol", label: "Protocol", options: PROTOCOLS },
          { name: "sensitive", label: "Sensitive data", options: [{ value: "true", name: "With" }, { value: "false", name: "Without" }] },
          { name: "auth", label: "Auth", options: ["none", "basic", "bearer", "jwt", "api-key", "cookie"] },
          { name: "min_risk", label: "Risk from", type: "number" },
        ]}
        linked={["max_risk", "zone", "exposure", "role", "channel", "type", "label", "owner", "min_calls", "seen_after", "seen_before", "first_after"]}
        empty={<Empty title="No endpoint was seen">Endpoints appear with the first calls that are answered. Whether any traffic is read says <A href="/settings?tab=capture">Capture</A>.</Empty>}
      />
    </Card>
  );
}

interface Node {
  name: string;
  children: Map<string, Node>;
  rows: EndpointRow[];
  calls: number;
  risk: number;
  count: number;
}

function node(name: string): Node {
  return { name, children: new Map(), rows: [], calls: 0, risk: 0, count: 0 };
}

/** Endpoints by the segments of their paths. */
function grow(rows: EndpointRow[]): Node {
  const root = node("");
  for (const row of rows) {
    let at = root;
    const trail = [root];
    for (const segment of row.template.split("/").filter((part) => part !== "")) {
      const next = at.children.get(segment) ?? node(segment);
      at.children.set(segment, next);
      trail.push(next);
      at = next;
    }
    at.rows.push(row);
    for (const one of trail) {
      one.calls += row.calls;
      one.count += 1;
      one.risk = Math.max(one.risk, row.risk);
    }
  }
  return root;
}

function Leaf({ row, prefix }: { row: EndpointRow; prefix: string }) {
  return (
    <div className="leaf">
        <EndpointName id={row.id} method={row.method} template={prefix || "/"} />
        {row.risk > 0 ? <Badge kind={band(row.risk)}>risk {row.risk}</Badge> : null}
        {row.standing === "unknown" || row.standing === "documented" ? null : <Word id={row.standing} />}
        {row.sensitive.length > 0 ? <Badge>{[...new Set(row.sensitive.map((field) => field.type))].slice(0, 3).join(", ")}</Badge> : null}
        <span className="muted small">{n(row.calls)} calls</span>
    </div>
  );
}

/** A branch with one endpoint, in one line. */
function Leaves({ at, prefix }: { at: Node; prefix: string }) {
  const row = at.rows[0];
  const child = [...at.children.values()][0];
  if (row) return <Leaf row={row} prefix={prefix} />;
  return child ? <Leaves at={child} prefix={`${prefix}/${child.name}`} /> : null;
}

function Branch({ at, prefix, deep }: { at: Node; prefix: string; deep: number }) {
  const children = [...at.children.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  const only = children[0];
  if (children.length === 1 && at.rows.length === 0 && only) return <Branch at={only} prefix={`${prefix}/${only.name}`} deep={deep} />;
  return (
    <ul>
      {at.rows.map((row) => (
        <li key={row.id}>
          <Leaf row={row} prefix={prefix} />
        </li>
      ))}
      {children.map((child) => (
        <li key={child.name}>
          {child.count === 1 ? (
            <Leaves at={child} prefix={`${prefix}/${child.name}`} />
          ) : (
            <details open={deep < 2}>
              <summary>
                <span className="path">
                  <T>{`${prefix}/${child.name}`}</T>
                </span>{" "}
                <span className="muted small">
                  {counted(child.count, "endpoint")}, {counted(child.calls, "call")}{child.risk > 0 ? `, risk up to ${child.risk}` : ""}
                </span>
              </summary>
              <Branch at={child} prefix={`${prefix}/${child.name}`} deep={deep + 1} />
            </details>
          )}
        </li>
      ))}
    </ul>
  );
}

const MOST = 1000;

function SiteMap({ host }: { host: string }) {
  const { search, set } = useUrl();
  const hosts = useApi<Rows<HostItem>>("/hosts", { limit: MOST, sort: "-risk" });
  const chosen = host || hosts.data?.rows[0]?.host || "";
  const rows = useApi<Rows<EndpointRow>>("/endpoints", { host: chosen, limit: MOST, sort: "template" }, { enabled: chosen !== "", keep: true });
  const words_ = search["q"] ?? "";
  const kept = useMemo(() => (rows.data?.rows ?? []).filter((row) => row.template.toLowerCase().includes(words_.toLowerCase())), [rows.data, words_]);
  const tree = useMemo(() => grow(kept), [kept]);
  const item = hosts.data?.rows.find((one) => one.host === chosen);
  return (
    <Shown query={hosts}>
      {(data) =>
        data.rows.length === 0 ? (
          <Card>
            <Empty title="No host was seen">Hosts appear with the first exchange that names one.</Empty>
          </Card>
        ) : (
          <Card flush>
            <div className="tools">
              <div className="field">
                <label htmlFor="map-host">Host</label>
                <select id="map-host" value={chosen} onChange={(event) => set({ view: "map", host: event.target.value }, true)}>
                  {data.rows.map((one) => (
                    <option key={one.host} value={one.host}>
                      {plain(one.host)}
                    </option>
                  ))}
                </select>
              </div>
              <TextFilter label="Path contains" type="search" text={words_} set={(text) => set({ view: "map", host: chosen, q: text })} />
              <div className="end">
                {item?.openapi ? (
                  <a className="btn" href={apiUrl(`/hosts/${encodeURIComponent(chosen)}/openapi`)} download>
                    OpenAPI of this host
                  </a>
                ) : null}
              </div>
            </div>
            <Shown query={rows} lines={8}>
              {(all) => (
                <div className="tree" style={{ padding: "var(--s4)" }}>
                  {all.total > MOST ? (
                    <p className="notice info">
                      The first {n(MOST)} of {n(all.total)} endpoints. <A href={to("/inventory", { view: "table", host: chosen })}>The table has all.</A>
                    </p>
                  ) : null}
                  {kept.length === 0 ? <Empty title="No path contains this" /> : <Branch at={tree} prefix="" deep={0} />}
                </div>
              )}
            </Shown>
          </Card>
        )
      }
    </Shown>
  );
}
