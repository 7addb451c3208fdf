import type { SensitiveRow, SensitiveSummary } from "../api/types";
import { counted, n } from "../lib/format";
import { dataType } from "../lib/text";
import { useApi } from "../lib/use";
import { A, pathTo, to, useUrl } from "../lib/url";
import { EvidenceButton, EvidenceOf } from "../ui/exchange";
import { RowExports } from "../ui/export";
import type { Column } from "../ui/list";
import { List } from "../ui/list";
import { Page } from "../ui/page";
import { Card, Empty, Shown } from "../ui/state";
import { Badge, EndpointName, Meter, T, Time } from "../ui/text";

const LAWS: Record<string, string> = {
  PCI: "Payment cards (PCI DSS)",
  PII: "Identifies a person (PII)",
  PHI: "Health data (HIPAA)",
  GDPR: "Personal data (GDPR)",
  CCPA: "Consumers of California (CCPA)",
  SECRET: "Secrets and credentials",
};

const columns: Column<SensitiveRow>[] = [
  {
    id: "type",
    name: "Type",
    sort: "type",
    cell: (row) => (
      <>
        <strong title={row.type}>{dataType(row.type)}</strong>
        <span className="sub">{row.class.join(", ")}</span>
      </>
    ),
  },
  {
    id: "endpoint",
    name: "Endpoint",
    wide: true,
    sort: "host",
    cell: (row) => <EndpointName id={row.endpoint.id} method={row.endpoint.method} host={row.endpoint.host} template={row.endpoint.template} />,
  },
  {
    id: "where",
    name: "Where",
    cell: (row) => (
      <>
        <Badge kind={row.direction === "response" ? "warn" : ""}>{row.direction}</Badge> <T mono>{row.location}</T>
      </>
    ),
  },
  { id: "masked", name: "Looks like", cell: (row) => <T mono>{row.masked}</T> },
  { id: "confidence", name: "Confidence", sort: "-confidence", num: true, cell: (row) => row.confidence.toFixed(2) },
  { id: "count", name: "Seen", sort: "-count", num: true, cell: (row) => n(row.count) },
  { id: "first", name: "First seen", sort: "first_seen", extra: true, cell: (row) => <Time at={row.first_seen} /> },
  { id: "alternatives", name: "Could also be", extra: true, cell: (row) => row.alternatives.map(dataType).join(", ") || "–" },
  {
    id: "evidence",
    name: "Evidence",
    cell: (row) => (row.id ? <EvidenceButton id={row.id} count={row.evidence.length > 0 ? null : 0} /> : null),
  },
];

export function SensitivePage() {
  const summary = useApi<SensitiveSummary>("/sensitive/summary");
  return (
    <Page title="Sensitive data" lead="Where which kind of data goes over the APIs. Values are never kept; what is shown is masked.">
      <Shown query={summary} lines={4}>
        {(data) => <ByLaw data={data} />}
      </Shown>
      <Card flush title="Every place">
        <List<SensitiveRow>
          path="/sensitive"
          caption="Places of sensitive data"
          columns={columns}
          rowId={(row) => row.id ?? `${row.endpoint.id} ${row.direction} ${row.location} ${row.type}`}
          sort="-count"
          href={(row) => pathTo.endpoint(row.endpoint.id)}
          filters={[
            { name: "class", label: "Law", options: Object.entries(LAWS).map(([value, name]) => ({ value, name })) },
            { name: "type", label: "Type", options: summary.data?.by_type.map((row) => ({ value: row.type, name: dataType(row.type) })).sort((a, b) => (a.name < b.name ? -1 : 1)) },
            { name: "direction", label: "Direction", options: ["request", "response"] },
            { name: "host", label: "Host" },
            { name: "min_confidence", label: "Confidence from", type: "number" },
          ]}
          linked={["method", "endpoint", "location", "min_count"]}
          empty={<Empty title="No sensitive data was seen">Requests are looked through for it, and answers (of endpoints that are well known a part of them); what is found is listed here by its place, never by its value.</Empty>}
        />
      </Card>
      <EvidenceOf path={(id) => `/sensitive/${encodeURIComponent(id)}/exchanges`} title="Exchanges with this data" />
    </Page>
  );
}

function ByLaw({ data }: { data: SensitiveSummary }) {
  const { search } = useUrl();
  const top = Math.max(1, ...data.by_type.map((row) => row.places));
  if (data.by_type.length === 0) return null;
  return (
    <>
      <div className="tiles">
        {data.by_class.map((row) => (
          <A key={row.class} className="tile" href={to("/sensitive", { class: search["class"] === row.class ? undefined : row.class })} aria-current={search["class"] === row.class ? "true" : undefined}>
            <b>{n(row.places)}</b>
            <span>{LAWS[row.class] ?? row.class}</span>
            <span className="small" style={{ display: "block" }}>
              {counted(row.endpoints, "endpoint")}, {counted(row.hosts, "host")}
            </span>
          </A>
        ))}
      </div>
      <Card
        title="By type"
        more={
          <span className="row">
            <span className="muted small">By law</span>
            <RowExports name="Sensitive data by law" rows={() => data.by_class.map((row) => ({ ...row }))} />
            <span className="muted small">By type</span>
            <RowExports name="Sensitive data by type" rows={() => data.by_type.map((row) => ({ ...row }))} />
          </span>
        }
        flush
      >
        <div className="table-wrap" tabIndex={0} role="region" aria-label="Sensitive data by type">
          <table>
            <thead>
              <tr>
                <th scope="col">Type</th>
                <th scope="col">Law</th>
                <th scope="col" className="num">
                  Places
                </th>
                <th scope="col">
                  <span className="sr">Share</span>
                </th>
                <th scope="col" className="num">
                  Endpoints
                </th>
                <th scope="col" className="num">
                  In requests
                </th>
                <th scope="col" className="num">
                  In responses
                </th>
                <th scope="col" className="num">
                  Seen
                </th>
              </tr>
            </thead>
            <tbody>
              {data.by_type.map((row) => (
                <tr key={row.type}>
                  <td>
                    <A href={to("/sensitive", { type: row.type })} title={row.type}>{dataType(row.type)}</A>
                  </td>
                  <td>{row.class.join(", ")}</td>
                  <td className="num">{n(row.places)}</td>
                  <td>
                    <Meter value={row.places} of={top} kind={row.class.includes("SECRET") ? "malicious" : "suspicious"} />
                  </td>
                  <td className="num">{n(row.endpoints)}</td>
                  <td className="num">{n(row.request)}</td>
                  <td className="num">{n(row.response)}</td>
                  <td className="num">{n(row.count)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </Card>
    </>
  );
}
