import { useEffect, useMemo } from "react";

import { apiUrl } from "../api/client";
import type { EndpointDetail, FindingItem, Operation, Schema } from "../api/types";
import { band, counted, n, times } from "../lib/format";
import { dataType, words } from "../lib/text";
import { useApi, useId } from "../lib/use";
import { A, pathTo, to, useUrl } from "../lib/url";
import { CountChart } from "../ui/chart";
import { Exports, RowExports } from "../ui/export";
import { Page } from "../ui/page";
import { Card, Empty, Shown } from "../ui/state";
import { Badge, Bars, ClassName, EndpointName, Facts, Score, Span, T, Word } from "../ui/text";
import { ChangeLine } from "./columns";
import { Notes } from "./notes";
import { Reshape } from "./site";

export function EndpointPage() {
  const id = useId();
  const query = useApi<EndpointDetail>(`/endpoints/${encodeURIComponent(id)}`);
  const row = query.data?.endpoint;
  const gone = row && row.id !== id ? row.id : null;
  const { search, replace } = useUrl();
  // An id that the endpoint had before leads to its page, and the address says so.
  useEffect(() => {
    if (gone) replace(to(pathTo.endpoint(gone), { was: id }));
  }, [gone, id, replace]);
  return (
    <Page
      title={row ? `${row.method} ${row.host}${row.template}` : "Endpoint"}
      heading={row ? <EndpointName method={row.method} template={row.template} /> : "Endpoint"}
      up={row ? { href: pathTo.host(row.host), name: row.host } : { href: "/inventory", name: "Inventory" }}
      meta={
        row ? (
          <>
            <Score value={row.risk} kind={band(row.risk)} />
            {row.standing === "unknown" ? <Badge>not described</Badge> : <Word id={row.standing} />}
            <Badge>{row.protocol}</Badge>
            <Badge kind={row.exposure === "public" ? "warn" : ""}>{row.exposure}</Badge>
            {row.roles.map((role) => (
              <Badge key={role} kind="info">
                {words(role)}
              </Badge>
            ))}
            <Span from={row.first_seen} to={row.last_seen} />
          </>
        ) : null
      }
      actions={
        row ? (
          <>
            <Reshape host={row.host} method={row.method} template={row.template} />
            <a className="btn" href={apiUrl(`/hosts/${encodeURIComponent(row.host)}/openapi`)} download>
              OpenAPI of this host
            </a>
          </>
        ) : null
      }
    >
      {search["was"] ? (
        <p className="notice">
          The endpoint <T mono>{search["was"]}</T> was merged into this one. What was noted of it, and its history, are here.
        </p>
      ) : null}
      {query.data?.merged_into && query.data.merged_into !== row?.id ? (
        <p className="notice">
          By a template that was set since, it goes on <A href={pathTo.endpoint(query.data.merged_into)}>as part of another endpoint</A>. What is here is of runs before that.
        </p>
      ) : null}
      <Shown query={query} lines={10}>
        {(data) => <Whole data={data} />}
      </Shown>
    </Page>
  );
}

/** Callers by country and by organization, as rows of a file. */
function callers(of: EndpointDetail["endpoint"]["callers"]) {
  const rows = (by: string, counts: Record<string, number>) => Object.entries(counts).map(([name, count]) => ({ by, name, count }));
  return [...rows("country", of.countries), ...rows("organization", of.organizations)];
}

function Whole({ data }: { data: EndpointDetail }) {
  const row = data.endpoint;
  const points = useMemo(() => data.traffic.points.map((point): [string, number] => [point.ts, point.calls]), [data.traffic]);
  const summed = row.risk_terms.reduce((sum, term) => sum + (Number.parseInt(term, 10) || 0), 0);
  return (
    <div className="grid side">
      <div className="stack loose">
        {points.length > 0 ? (
          <Card title="Calls over time">
            <CountChart points={points} bucket_s={data.traffic.bucket_s} name="Calls" />
          </Card>
        ) : null}
        <Shape operation={data.operation} data={data} />
        <Sensitive data={data} />
        <Findings data={data} />
        <Abuse data={data} />
        {data.history.length > 0 ? (
          <Card
            title="History"
            more={
              <span className="row">
                <Exports path="/changes" params={{ kind: "endpoint", id: row.id }} />
              </span>
            }
          >
            <ul className="timeline">
              {data.history.map((change) => (
                <ChangeLine key={change.seq} change={change} />
              ))}
            </ul>
          </Card>
        ) : null}
      </div>
      <div className="stack loose">
        <Card title={`Risk ${row.risk}`} more={row.risk_terms.length > 0 ? <RowExports name="Terms of the risk" rows={() => row.risk_terms.map((term) => ({ term }))} /> : null}>
          {summed > row.risk && row.risk === 100 ? <p className="muted small">Its terms add up to {n(summed)}; 100 is the most that is said.</p> : null}
          {row.risk_terms.length > 0 ? (
            <ul className="stack">
              {row.risk_terms.map((term) => {
                const parts = /^([+-]\d+)\s+(.*)$/.exec(term);
                return (
                  <li key={term} className="row" style={{ flexWrap: "nowrap", alignItems: "baseline" }}>
                    <span className={`weight${term.startsWith("-") ? " down" : ""}`} style={{ minWidth: "2.6rem" }}>
                      {parts?.[1] ?? ""}
                    </span>
                    <T>{parts?.[2] ?? term}</T>
                  </li>
                );
              })}
            </ul>
          ) : (
            <p className="muted">Nothing about it raises its risk.</p>
          )}
        </Card>
        <Card title="Calls">
          <div className="stack">
          <Facts
            of={[
              ["Calls", n(row.calls)],
              ["Auth", row.auth.includes("none") ? <Badge kind="warn">{row.auth.join(", ")}</Badge> : row.auth.join(", ") || "–"],
              ["Channels", row.channels.join(", ")],
              ["Callers", n(row.callers.count)],
              ["Zone", <T key="zone">{row.zone}</T>],
            ]}
          />
          <h3>Answers</h3>
          <Bars of={row.status_codes} kind={(code) => (code.startsWith("5") ? "malicious" : code.startsWith("4") ? "suspicious" : "benign")} />
          </div>
        </Card>
        <Card title="Callers" more={Object.keys(row.callers.countries).length + Object.keys(row.callers.organizations).length > 0 ? <RowExports name="Callers" rows={() => callers(row.callers)} /> : null}>
          {Object.keys(row.callers.countries).length + Object.keys(row.callers.organizations).length > 0 ? (
            <div className="stack">
              <h3>Countries</h3>
              <Bars of={row.callers.countries} />
              <h3>Organizations</h3>
              <Bars of={row.callers.organizations} />
            </div>
          ) : (
            <p className="muted">
              {row.callers.count === 1 ? "1 caller" : `${n(row.callers.count)} callers`}. Their countries and organizations are known where network intelligence is installed: <code>sidetap intel update</code>.
            </p>
          )}
        </Card>
        <Notes path={`/endpoints/${encodeURIComponent(row.id)}`} touches="endpoints" labels={data.labels} note={data.note} owner={data.owner} merged={data.merged} />
      </div>
    </div>
  );
}

function typeName(schema: Schema): string {
  const type = Array.isArray(schema.type) ? schema.type.join(" or ") : schema.type ?? (schema.properties ? "object" : schema.anyOf || schema.oneOf ? "one of" : "any");
  return schema.format ? `${type} (${schema.format})` : type;
}

function SchemaTree({ schema, depth = 0 }: { schema: Schema; depth?: number }) {
  const alternatives = schema.anyOf ?? schema.oneOf;
  if (depth > 8) return <span className="muted">…</span>;
  if (schema.items) {
    return (
      <>
        <span className="muted">array of </span>
        <SchemaTree schema={schema.items} depth={depth + 1} />
      </>
    );
  }
  if (alternatives) {
    return (
      <ul>
        {alternatives.map((one, at) => (
          <li key={at}>
            <SchemaTree schema={one} depth={depth + 1} />
          </li>
        ))}
      </ul>
    );
  }
  const fields = Object.entries(schema.properties ?? {});
  return (
    <>
      <span className="muted">{typeName(schema)}</span>
      {schema.enum ? (
        <span className="muted">
          : <T>{schema.enum.slice(0, 8).map(String).join(", ")}</T>
        </span>
      ) : null}
      {fields.length > 0 ? (
        <ul>
          {fields.map(([name, field]) => (
            <li key={name}>
              <T>{name}</T>
              {schema.required?.includes(name) ? "" : <span className="muted">?</span>}: <SchemaTree schema={field} depth={depth + 1} />
            </li>
          ))}
        </ul>
      ) : null}
    </>
  );
}

function Contents({ content }: { content: Record<string, { schema?: Schema }> | undefined }) {
  const entries = Object.entries(content ?? {});
  if (entries.length === 0) return <p className="muted">No body.</p>;
  return (
    <>
      {entries.map(([type, media]) => (
        <div key={type} className="schema">
          <Badge>
            <T>{type}</T>
          </Badge>{" "}
          {media.schema ? <SchemaTree schema={media.schema} /> : <span className="muted">no schema</span>}
        </div>
      ))}
    </>
  );
}

/** Parameters and schemas, as they were seen. */
function Shape({ operation, data }: { operation: Operation | null; data: EndpointDetail }) {
  const parameters = operation?.parameters ?? [];
  const seen = data.endpoint.parameters;
  return (
    <Card title="Schema as seen" more={parameters.length + seen.length > 0 ? <RowExports name="Parameters" rows={() => (parameters.length > 0 ? parameters : seen).map((one) => ({ ...one }))} /> : null}>
      {operation === null && seen.length === 0 ? (
        <Empty title="No schema was learned">Bodies of this endpoint were not seen, or are of no kind that has a schema.</Empty>
      ) : (
        <div className="stack loose">
          {parameters.length > 0 || seen.length > 0 ? (
            <div className="table-wrap" tabIndex={0} role="region" aria-label="Parameters">
              <table>
                <thead>
                  <tr>
                    <th scope="col">Parameter</th>
                    <th scope="col">In</th>
                    <th scope="col">Type</th>
                    <th scope="col">Required</th>
                  </tr>
                </thead>
                <tbody>
                  {parameters.length > 0
                    ? parameters.map((parameter) => (
                        <tr key={`${parameter.in} ${parameter.name}`}>
                          <td>
                            <T mono>{parameter.name}</T>
                          </td>
                          <td>{parameter.in}</td>
                          <td>{parameter.schema ? typeName(parameter.schema) : "–"}</td>
                          <td>{parameter.required ? "Yes" : "No"}</td>
                        </tr>
                      ))
                    : seen.map((parameter) => (
                        <tr key={`${parameter.location ?? parameter.in} ${parameter.name}`}>
                          <td>
                            <T mono>{parameter.name}</T>
                          </td>
                          <td>{parameter.location ?? parameter.in ?? "–"}</td>
                          <td>{parameter.type ?? "–"}</td>
                          <td>{parameter.required === undefined ? "–" : parameter.required ? "Yes" : "No"}</td>
                        </tr>
                      ))}
                </tbody>
              </table>
            </div>
          ) : null}
          {operation?.requestBody ? (
            <div className="stack">
              <h3>Request body</h3>
              <Contents content={operation.requestBody.content} />
            </div>
          ) : null}
          {Object.entries(operation?.responses ?? {}).map(([status, response]) => (
            <div key={status} className="stack">
              <h3>
                Answer {status} <span className="muted small">{response.description}</span>
              </h3>
              <Contents content={response.content} />
            </div>
          ))}
        </div>
      )}
    </Card>
  );
}

function Sensitive({ data }: { data: EndpointDetail }) {
  if (data.sensitive.length === 0) return null;
  return (
    <Card
      title="Sensitive data"
      more={
        <span className="row">
          <A href={to("/sensitive", { endpoint: data.endpoint.id })}>In the list</A>
          <Exports path="/sensitive" params={{ endpoint: data.endpoint.id }} />
        </span>
      }
      flush
    >
      <div className="table-wrap" tabIndex={0} role="region" aria-label="Sensitive data">
        <table>
          <thead>
            <tr>
              <th scope="col">Type</th>
              <th scope="col">Where</th>
              <th scope="col">Looks like</th>
              <th scope="col" className="num">
                Confidence
              </th>
              <th scope="col" className="num">
                Seen
              </th>
            </tr>
          </thead>
          <tbody>
            {data.sensitive.map((field) => (
              <tr key={`${field.direction} ${field.location} ${field.type}`}>
                <td title={field.type}>
                  {dataType(field.type)}
                  <span className="sub">{field.class.join(", ")}</span>
                </td>
                <td>
                  {field.direction} <T mono>{field.location}</T>
                </td>
                <td>
                  <T mono>{field.masked}</T>
                </td>
                <td className="num">{field.confidence.toFixed(2)}</td>
                <td className="num">{n(field.count)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Card>
  );
}

function FindingLines({ findings }: { findings: FindingItem[] }) {
  return (
    <ul className="stack">
      {findings.map((finding) => (
        <li key={finding.id}>
          <Word id={finding.severity} />{" "}
          <A href={pathTo.finding(finding.id)}>
            <T>{finding.title}</T>
          </A>{" "}
          <span className="muted small">
            {words(finding.kind)}, {finding.certainty}, seen {times(finding.count)}, {words(finding.work.status).toLowerCase()}
          </span>
        </li>
      ))}
    </ul>
  );
}

function Findings({ data }: { data: EndpointDetail }) {
  return (
    <Card
      title="Findings and conformance"
      more={
        data.findings.length > 0 ? (
          <span className="row">
            <A href={to("/findings", { endpoint: data.endpoint.id, status: "any" })}>In the work list</A>
            <Exports path="/findings" params={{ endpoint: data.endpoint.id, status: "any" }} />
          </span>
        ) : null
      }
    >
      {data.findings.length === 0 ? (
        <p className="muted">Nothing was found wrong with it.</p>
      ) : (
        <FindingLines findings={data.findings} />
      )}
      {data.host_findings.length > 0 ? (
        <div className="stack">
          <div className="row">
            <h3>Of its host, at no single endpoint</h3>
            <A href={to("/findings", { host: data.endpoint.host, status: "any" })}>All of the host</A>
          </div>
          <FindingLines findings={data.host_findings} />
        </div>
      ) : null}
    </Card>
  );
}

function Abuse({ data }: { data: EndpointDetail }) {
  if (data.campaigns.length === 0 && data.abusers.length === 0) return null;
  const host = data.endpoint.host + data.endpoint.template;
  const place = `${data.endpoint.method} ${host}`;
  return (
    <Card
      title="Who abused this path, by any method"
      more={
        data.abusers.length > 0 ? (
          <span className="row">
            <A href={to("/actors", { host })}>All {n(data.abusers_total)}</A>
            <Exports path="/verdicts" params={{ host }} />
          </span>
        ) : null
      }
    >
      <div className="stack loose">
        {data.campaigns.length > 0 ? (
          <div className="row">
            <h3>Campaigns</h3>
            <A href={to("/campaigns", { endpoint: place })}>In the list</A>
            <RowExports name="Campaigns" rows={() => data.campaigns.map((one) => ({ ...one }))} />
          </div>
        ) : null}
        {data.campaigns.length > 0 ? (
          <ul className="stack">
            {data.campaigns.map((campaign) => (
              <li key={campaign.id}>
                <A href={pathTo.campaign(campaign.id)}>
                  <ClassName id={campaign.class} oat={campaign.oat} />
                </A>{" "}
                <span className="muted">
                  {counted(campaign.requests, "request")} by {counted(campaign.members, "member")}
                </span>
              </li>
            ))}
          </ul>
        ) : null}
        {data.abusers.length > 0 ? (
          <div className="table-wrap" tabIndex={0} role="region" aria-label="Actors">
            <table>
              <thead>
                <tr>
                  <th scope="col">Actor</th>
                  <th scope="col">Intent</th>
                  <th scope="col">Class</th>
                  <th scope="col" className="num">
                    Requests
                  </th>
                </tr>
              </thead>
              <tbody>
                {data.abusers.slice(0, 12).map((row) => (
                  <tr key={row.id}>
                    <td>
                      <A href={pathTo.actor(row.id)}>
                        <T mono>{row.subject.value}</T>
                      </A>
                    </td>
                    <td>
                      <Word id={row.intent} />
                    </td>
                    <td>
                      <ClassName id={row.class} />
                    </td>
                    <td className="num">{n(row.requests)}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        ) : null}
      </div>
    </Card>
  );
}
