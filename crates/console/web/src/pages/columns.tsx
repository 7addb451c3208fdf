import type { CampaignItem, Change, EndpointRow, FindingItem, VerdictItem } from "../api/types";
import { band, n } from "../lib/format";
import { dataType, outcomeName, words } from "../lib/text";
import { A, pathTo, to } from "../lib/url";
import { Spark } from "../ui/chart";
import type { Column } from "../ui/list";
import { Badge, ClassName, EndpointName, Labels, pairs, Score, T, Time, Word } from "../ui/text";

/** Where a change's page is. */
export function changeHref(change: Change): string {
  if (change.kind === "endpoint") return pathTo.endpoint(change.id);
  if (change.kind === "campaign") return pathTo.campaign(change.id);
  if (change.kind === "finding") return pathTo.finding(change.id);
  return to("/sensitive", change.host ? { host: change.host } : {});
}

export function ChangeLine({ change }: { change: Change }) {
  return (
    <li>
      <Time at={change.at} />
      <span>
        <Badge kind={change.change === "gone" ? "warn" : "info"}>
          {words(change.kind)} {change.change === "new" ? "new" : change.change === "gone" ? "gone" : words(change.change).toLowerCase()}
        </Badge>{" "}
        <A href={changeHref(change)}>
          <T>{change.title}</T>
        </A>
        {change.before !== null || change.after !== null ? (
          <span className="muted">
            {" "}
            {change.before !== null ? <T>{change.before}</T> : null} → {change.after !== null ? <T>{change.after}</T> : null}
          </span>
        ) : null}
      </span>
    </li>
  );
}

export function subjectText(row: VerdictItem): string {
  return row.subject.value;
}

export const campaignColumns: Column<CampaignItem>[] = [
  {
    id: "class",
    name: "Campaign",
    wide: true,
    cell: (row) => (
      <>
        <A href={pathTo.campaign(row.id)}>
          <ClassName id={row.class} oat={row.oat} />
        </A>
        <span className="sub">{row.endpoints.length > 0 ? <T mono>{row.endpoints.slice(0, 2).join(", ") + (row.endpoints.length > 2 ? ", …" : "")}</T> : null}</span>
        <Labels labels={row.labels} />
      </>
    ),
  },
  { id: "score", name: "Harm", sort: "-score", num: true, cell: (row) => <Score value={row.score} kind="malicious" /> },
  { id: "pulse", name: "Over time", cell: (row) => <Spark points={row.timeline} /> },
  { id: "requests", name: "Requests", sort: "-requests", num: true, cell: (row) => n(row.requests) },
  { id: "members", name: "Members", sort: "-members", num: true, cell: (row) => n(row.members) },
  {
    id: "outcome",
    name: "How far it got",
    cell: (row) => <OutcomeLine outcome={row.outcome} />,
  },
  { id: "last", name: "Last seen", sort: "-last_seen", cell: (row) => <Time at={row.last_seen} /> },
  { id: "first", name: "First seen", sort: "first_seen", extra: true, cell: (row) => <Time at={row.first_seen} /> },
  { id: "detected", name: "Recognised", sort: "-detected_at", extra: true, cell: (row) => <Time at={row.detected_at} /> },
  { id: "countries", name: "Countries", extra: true, cell: (row) => <T>{pairs(row.countries).map(([name]) => name).join(", ")}</T> },
  { id: "networks", name: "Networks", extra: true, cell: (row) => <T>{pairs(row.networks).map(([name]) => name).join(", ")}</T> },
];

const PLAIN_OUTCOMES = new Set(["bytes", "requests", "requests-to-target", "succeeded", "refused"]);

/** What an attack came to, the gravest words first. */
export function OutcomeLine({ outcome }: { outcome: Record<string, number> }) {
  const told = Object.entries(outcome).filter(([name, value]) => value > 0 && !PLAIN_OUTCOMES.has(name));
  if (told.length === 0) return <span className="muted">{outcome["succeeded"] ? `${n(outcome["succeeded"])} succeeded` : "Nothing taken that Sidetap counts"}</span>;
  return (
    <>
      {told.slice(0, 2).map(([name, value]) => (
        <span key={name} className="sub">
          {n(value)} {outcomeName(name, value)}
        </span>
      ))}
    </>
  );
}

export const endpointColumns: Column<EndpointRow>[] = [
  {
    id: "endpoint",
    name: "Endpoint",
    wide: true,
    sort: "template",
    cell: (row) => (
      <>
        <EndpointName id={row.id} method={row.method} template={row.template} />
        <span className="sub">
          <T>{row.host}</T>
        </span>
        <Labels labels={row.labels} />
      </>
    ),
  },
  { id: "risk", name: "Risk", sort: "-risk", num: true, cell: (row) => <Score value={row.risk} kind={band(row.risk)} /> },
  { id: "standing", name: "Standing", cell: (row) => (row.standing === "unknown" ? <span className="muted nowrap">Not described</span> : <Word id={row.standing} />) },
  { id: "roles", name: "Role", cell: (row) => (row.roles.length > 0 ? words(row.roles.join(", ")) : <span className="muted">–</span>) },
  { id: "auth", name: "Auth", cell: (row) => (row.auth.includes("none") ? <Badge kind={row.auth.length === 1 ? "medium" : ""}>{row.auth.join(", ")}</Badge> : row.auth.join(", ") || "–") },
  { id: "sensitive", name: "Sensitive", cell: (row) => <SensitiveTypes row={row} /> },
  { id: "calls", name: "Calls", sort: "-calls", num: true, cell: (row) => n(row.calls) },
  { id: "last", name: "Last seen", sort: "-last_seen", cell: (row) => <Time at={row.last_seen} /> },
  { id: "protocol", name: "Protocol", extra: true, cell: (row) => row.protocol },
  { id: "exposure", name: "Exposure", extra: true, cell: (row) => row.exposure },
  { id: "channels", name: "Channels", extra: true, cell: (row) => row.channels.join(", ") || "–" },
  { id: "findings", name: "Open findings", extra: true, num: true, cell: (row) => n(row.findings_open) },
  { id: "owner", name: "Owner", extra: true, cell: (row) => <T>{row.owner}</T> },
  { id: "first", name: "First seen", sort: "-first_seen", extra: true, cell: (row) => <Time at={row.first_seen} /> },
];

function SensitiveTypes({ row }: { row: EndpointRow }) {
  const types = [...new Set(row.sensitive.map((field) => field.type))];
  if (types.length === 0) return <span className="muted">–</span>;
  return (
    <span>
      {types.slice(0, 3).map(dataType).join(", ")}
      {types.length > 3 ? <span className="muted"> +{types.length - 3}</span> : null}
    </span>
  );
}

export const findingColumns: Column<FindingItem>[] = [
  {
    id: "title",
    name: "Finding",
    sort: "title",
    wide: true,
    cell: (row) => (
      <>
        <A href={pathTo.finding(row.id)}>
          <T>{row.title}</T>
        </A>
        <span className="sub">
          <code>{row.rule}</code> · {row.owasp.join(", ")}
        </span>
      </>
    ),
  },
  { id: "severity", name: "Severity", sort: "-severity", cell: (row) => <Word id={row.severity} /> },
  { id: "certainty", name: "Certainty", cell: (row) => words(row.certainty) },
  { id: "kind", name: "Kind", cell: (row) => words(row.kind) },
  { id: "status", name: "Work", cell: (row) => <WorkCell row={row} /> },
  { id: "count", name: "Seen", sort: "-count", num: true, cell: (row) => n(row.count) },
  { id: "last", name: "Last seen", sort: "-last_seen", cell: (row) => <Time at={row.last_seen} /> },
  { id: "first", name: "First seen", sort: "-first_seen", extra: true, cell: (row) => <Time at={row.first_seen} /> },
];

function WorkCell({ row }: { row: FindingItem }) {
  return (
    <>
      {words(row.work.status)}
      {row.work.assignee ? (
        <span className="sub">
          <T>{row.work.assignee}</T>
        </span>
      ) : null}
      {row.work.expires_at ? (
        <span className="sub">
          until <Time at={row.work.expires_at} />
        </span>
      ) : null}
    </>
  );
}

export const verdictColumns: Column<VerdictItem>[] = [
  {
    id: "subject",
    name: "Actor",
    sort: "subject",
    wide: true,
    cell: (row) => (
      <>
        <A href={pathTo.actor(row.id)}>
          <T mono>{subjectText(row)}</T>
        </A>
        <span className="sub">
          {words(row.subject.kind)}
          {row.origin?.country ? ` · ${row.origin.country}` : ""}
          {row.origin?.organization ? (
            <>
              {" · "}
              <T>{row.origin.organization}</T>
            </>
          ) : null}
        </span>
      </>
    ),
  },
  { id: "intent", name: "Intent", cell: (row) => <Word id={row.intent} /> },
  { id: "class", name: "Class", cell: (row) => (row.class ? <ClassName id={row.class} /> : <span className="muted">–</span>) },
  { id: "score", name: "Harm", sort: "-score", num: true, cell: (row) => <Score value={row.score} kind={row.intent} /> },
  { id: "automation", name: "Machine", sort: "-automation", num: true, cell: (row) => <Score value={row.automation} kind="automated" /> },
  { id: "why", name: "Strongest reason", wide: true, cell: (row) => <T>{row.why ?? row.indicators?.[0]}</T> },
  { id: "requests", name: "Requests", sort: "-requests", num: true, cell: (row) => n(row.requests) },
  { id: "response", name: "Response", cell: (row) => <span className="nowrap">{row.response === "none" ? <span className="muted">None</span> : words(row.response)}</span> },
  { id: "last", name: "Last seen", sort: "-last_seen", cell: (row) => <Time at={row.last_seen} /> },
  { id: "detected", name: "Recognised", sort: "-detected_at", extra: true, cell: (row) => <Time at={row.detected_at} /> },
  { id: "phase", name: "Phase", extra: true, cell: (row) => words(row.phase) },
  { id: "policy", name: "Policy", extra: true, cell: (row) => <T>{row.policy}</T> },
  { id: "addresses", name: "Addresses", extra: true, num: true, cell: (row) => n(row.addresses) },
  { id: "campaign", name: "Campaign", extra: true, cell: (row) => (row.campaign ? <A href={pathTo.campaign(row.campaign)}>Open</A> : <span className="muted">–</span>) },
];
