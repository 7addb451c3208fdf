import { useMemo, useState } from "react";

import { api } from "../api/client";
import type { CampaignDetail, Member, VerdictItem } from "../api/types";
import { n, recognised, time } from "../lib/format";
import { className, outcomeName, sentence, words } from "../lib/text";
import { useApi, useId } from "../lib/use";
import { A, pathTo, to, useUrl } from "../lib/url";
import { Act, Field, useAct } from "../ui/act";
import { CountChart } from "../ui/chart";
import { Exchanges } from "../ui/exchange";
import { RowExports } from "../ui/export";
import type { Column } from "../ui/list";
import { List } from "../ui/list";
import { Page, Tabs } from "../ui/page";
import { Reasons, reasonRows } from "../ui/reasons";
import { Card, Empty, Shown } from "../ui/state";
import { Badge, Bars, ClassName, Facts, pairs, Score, Span, T, Time } from "../ui/text";
import { Actions } from "./actions";
import { Waiting } from "./approvals";
import { CampaignActions, Suggested } from "./campaign-act";
import { verdictColumns } from "./columns";
import { Notes } from "./notes";

const TABS = [
  { id: "story", name: "Story" },
  { id: "members", name: "Members" },
  { id: "fingerprints", name: "Fingerprints" },
  { id: "exchanges", name: "Exchanges" },
  { id: "policy", name: "Suggested policy" },
  { id: "actions", name: "Actions" },
];

export function CampaignPage() {
  const id = useId();
  const query = useApi<CampaignDetail>(`/campaigns/${encodeURIComponent(id)}`);
  const { search } = useUrl();
  const tab = TABS.some((one) => one.id === search["tab"]) ? (search["tab"] ?? "story") : "story";
  const row = query.data?.campaign;
  return (
    <Page
      title={row ? `${className(row.class)} ${id}` : "Campaign"}
      heading={row ? <ClassName id={row.class} oat={row.oat} /> : "Campaign"}
      up={{ href: "/campaigns", name: "Campaigns" }}
      meta={
        row ? (
          <>
            <Score value={row.score} kind="malicious" />
            <Badge>{words(row.phase)}</Badge>
            <Span from={row.first_seen} to={row.last_seen} />
            <span className="muted">{recognised(row)}</span>
          </>
        ) : null
      }
      actions={query.data ? <CampaignActions id={id} data={query.data} /> : null}
    >
      <Tabs
        label="Parts of the campaign"
        chosen={tab}
        href={(one) => to(pathTo.campaign(id), { tab: one === "story" ? undefined : one })}
        tabs={TABS.map((one) => ({ ...one, count: one.id === "members" ? query.data?.members_total : one.id === "actions" ? query.data?.actions_total : undefined }))}
      />
      <Shown query={query} lines={8}>
        {(data) => <Part id={id} tab={tab} data={data} />}
      </Shown>
    </Page>
  );
}

function Part({ id, tab, data }: { id: string; tab: string; data: CampaignDetail }) {
  if (tab === "members") return <Members id={id} />;
  if (tab === "fingerprints") return <Fingerprints data={data} />;
  if (tab === "exchanges") {
    return (
      <Card title="Exchanges, one by one">
        <Exchanges path={`/campaigns/${encodeURIComponent(id)}/exchanges`} />
      </Card>
    );
  }
  if (tab === "policy") return <Suggested id={id} />;
  if (tab === "actions") {
    return (
      <Actions
        fixed={{ campaign: id }}
        empty={
          <Empty title="No device was asked to do anything about it">
            Where a connector is configured, what it did appears here. <A href="/mitigation">Mitigation</A> shows the devices.
          </Empty>
        }
      />
    );
  }
  return <Story id={id} data={data} />;
}

/** Seconds of a bucket of a campaign's timeline. */
const TIMELINE_S = 10;

/** Endpoints of a campaign's place, `GET shop.example/basket`; what was not found has a host and no path. */
function placeHref(place: string): string {
  const parts = /^\S+ ([^/(]*)(\/.*)?/.exec(place);
  return to("/inventory", { view: "table", host: parts?.[1], q: parts?.[2] });
}

/** The story with its times cut to seconds, as a person writes them. */
function readable(story: string): string {
  return story.replace(/(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.\d+Z/g, (_, at: string) => `${time(at)} UTC`);
}

function Story({ id, data }: { id: string; data: CampaignDetail }) {
  const { campaign } = data;
  const points = useMemo(() => campaign.timeline.map((point): [string, number] => [point[0], point[1]]), [campaign.timeline]);
  const accounts = Object.entries(campaign.outcome).filter(([name]) => name.startsWith("accounts"));
  return (
    <div className="grid side">
      <div className="stack loose">
        <Card title="What happened">
          <p className="story">
            <T>{readable(campaign.signature["story"] ?? "")}</T>
          </p>
          {data.members_total === 0 ? <p className="notice info">Who took part was forgotten since. Requests and what they came to are told as they were.</p> : null}
          {points.length > 0 ? <CountChart points={points} bucket_s={TIMELINE_S} name="Requests" tone="--malicious-fill" /> : null}
        </Card>
        <Card title="Why we believe it" more={campaign.reasons.length > 0 ? <RowExports name="Reasons" rows={() => reasonRows(campaign.reasons)} /> : null}>
          <p className="muted small">
            “The part” is what one endpoint was asked with one agent, fingerprint or habit, by whomever: others than the members may be in it, and its numbers are of when it was last judged. They need not be those of the campaign.
          </p>
          <Reasons reasons={campaign.reasons} />
        </Card>
      </div>
      <div className="stack loose">
        <Card title="How far it got">
          <Facts of={Object.entries(campaign.outcome).map(([name, value]): [string, string] => [sentence(outcomeName(name, value)), n(value)])} />
          {accounts.length > 0 ? <AccountMatch id={id} /> : null}
        </Card>
        <Card title="Endpoints" more={<RowExports name="Endpoints" rows={() => campaign.endpoints.map((endpoint) => ({ endpoint }))} />}>
          <ul className="stack">
            {campaign.endpoints.map((endpoint) => (
              <li key={endpoint}>
                <A href={placeHref(endpoint)}>
                  <T mono>{endpoint}</T>
                </A>
              </li>
            ))}
          </ul>
        </Card>
        <Where data={data} />
        <Card title="What is done about it">
          {Object.keys(data.responses).length > 0 ? <Bars of={data.responses} name={(name) => words(name)} /> : <p className="muted">No verdict asks for a response.</p>}
          <Waiting campaign={id} />
        </Card>
        <Notes path={`/campaigns/${encodeURIComponent(id)}`} touches="campaigns" labels={data.labels} note={data.note} />
      </div>
    </div>
  );
}

function Where({ data }: { data: CampaignDetail }) {
  const { campaign } = data;
  const countries = pairs(campaign.countries);
  const networks = pairs(campaign.networks);
  const kinds: Record<string, number> = {};
  for (const member of campaign.members) kinds[member.kind] = (kinds[member.kind] ?? 0) + 1;
  return (
    <Card title="From where">
      <div className="stack">
        <Facts of={[["Members", n(data.members_total)], ["Addresses", campaign.signature["addresses"] ?? null], ["Agents", campaign.signature["agents"] ?? null]]} />
        {countries.length > 0 ? (
          <>
            <h3>Countries</h3>
            <Bars of={countries} />
          </>
        ) : null}
        {networks.length > 0 ? (
          <>
            <h3>Networks</h3>
            <Bars of={networks} />
          </>
        ) : null}
        {countries.length === 0 && networks.length === 0 ? (
          <>
            <h3>{campaign.members.length < data.members_total ? `Address blocks of the first ${n(campaign.members.length)} of ${n(data.members_total)} members` : "Address blocks"}</h3>
            <Bars of={blocks(campaign.members)} name={(name) => <A href={to("/actors", { ip: name })}>{name}</A>} />
            <p className="muted small">
              Countries and organizations are shown where network intelligence is installed: <code>sidetap intel update</code>.
            </p>
          </>
        ) : null}
      </div>
    </Card>
  );
}

/** Members by the /16 (IPv4) or /32 (IPv6) they are in. */
function blocks(members: Member[]): Record<string, number> {
  const out: Record<string, number> = {};
  for (const member of members) {
    const v4 = /^(\d+)\.(\d+)\.\d+\.\d+$/.exec(member.value);
    const v6 = /^([0-9a-f]+):([0-9a-f]*):/i.exec(member.value);
    const block = v4 ? `${v4[1]}.${v4[2]}.0.0/16` : v6 ? `${v6[1]}:${v6[2] || "0"}::/32` : null;
    if (block) out[block] = (out[block] ?? 0) + 1;
  }
  return out;
}

const memberColumns: Column<Member>[] = [
  { id: "value", name: "Member", sort: "value", wide: true, cell: (row) => (row.verdict ? <A href={pathTo.actor(row.verdict)}><T mono>{row.value}</T></A> : <T mono>{row.value}</T>) },
  { id: "kind", name: "Kind", cell: (row) => words(row.kind) },
  { id: "requests", name: "Requests", sort: "-requests", num: true, cell: (row) => n(row.requests) },
  { id: "country", name: "Country", cell: (row) => <T>{row.country}</T> },
  { id: "organization", name: "Organization", cell: (row) => <T>{row.organization}</T> },
  { id: "first", name: "First seen", sort: "first_seen", cell: (row) => <Time at={row.first_seen} /> },
];

function Members({ id }: { id: string }) {
  return (
    <div className="stack loose">
      <Card flush>
        <List<Member>
          path={`/campaigns/${encodeURIComponent(id)}/members`}
          caption="Members"
          columns={memberColumns}
          rowId={(row) => `${row.kind} ${row.value}`}
          sort="-requests"
          href={(row) => (row.verdict ? pathTo.actor(row.verdict) : null)}
          filters={[{ name: "kind", label: "Kind", options: ["ip", "session", "account", "api-key", "fingerprint"] }]}
        />
      </Card>
      <Card title="Verdicts on them" flush>
        <List<VerdictItem> path="/verdicts" prefix="v_" caption="Verdicts" columns={verdictColumns} rowId={(row) => row.id} sort="-score" fixed={{ campaign: id }} href={(row) => pathTo.actor(row.id)} size={25} />
      </Card>
    </div>
  );
}

const HIDDEN_PARTS = new Set(["story", "targets", "addresses", "agents"]);

/** Fingerprints of each phase side by side: what changed when the attacker changed tools stands out. */
function Fingerprints({ data }: { data: CampaignDetail }) {
  const phases = data.fingerprints.length > 0 ? data.fingerprints : [{ ...data.campaign.signature, phase_of: data.campaign.first_seen }];
  const parts = [...new Set(phases.flatMap((phase) => Object.keys(phase)))].filter((part) => part !== "phase_of" && !HIDDEN_PARTS.has(part)).sort();
  return (
    <Card
      title={phases.length > 1 ? `Fingerprints over ${phases.length} phases` : "Fingerprints"}
      more={
        <span className="row">
          <span className="muted small">{phases.length > 1 ? "What changed is marked" : "One set of tools throughout"}</span>
          <RowExports name="Fingerprints" rows={() => phases.map((phase) => ({ ...phase }))} />
        </span>
      }
      flush
    >
      <div className="table-wrap" tabIndex={0} role="region" aria-label="Fingerprints">
        <table className="compare">
          <thead>
            <tr>
              <th scope="col">Part</th>
              {phases.map((phase, at) => (
                <th key={at} scope="col">
                  {typeof phase["phase_of"] === "string" ? <Time at={phase["phase_of"]} /> : phases.length > 1 ? `Phase ${at + 1}` : "Shared by its members"}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {parts.map((part) => (
              <tr key={part}>
                <th scope="row">{words(part)}</th>
                {phases.map((phase, at) => {
                  const before = at > 0 ? phases[at - 1]?.[part] : phase[part];
                  const value = phase[part];
                  return (
                    <td key={at} className={before !== value ? "changed" : ""}>
                      {value === "not observable" ? <span className="muted">not observable</span> : <T mono>{value === null || value === undefined ? null : String(value)}</T>}
                      {before !== value ? <span className="sr"> (changed)</span> : null}
                    </td>
                  );
                })}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Card>
  );
}

interface Matched {
  matched: number[];
  touched: number;
  looked_at: number;
  requests: number;
}

/** What a comparison says, and of how much. */
function compared(found: Matched & { names: string[]; asked: number }): string {
  const whole = found.looked_at >= found.requests;
  const of = `${whole ? "" : "At least "}${n(found.names.length)} of ${n(found.asked)} were touched. Compared are the ${n(found.touched)} accounts that requests of its members name`;
  if (whole) return `${of}; all ${n(found.requests)} requests are stored, so none is missing.`;
  return `${of}; ${n(found.looked_at)} of ${n(found.requests)} requests are stored, so a name that is not among them may have been touched too.`;
}

/** Which names of a list are accounts that the campaign touched; names are hashed on the server and not kept. */
function AccountMatch({ id }: { id: string }) {
  const [names, setNames] = useState("");
  const [found, setFound] = useState<(Matched & { names: string[]; asked: number }) | null>(null);
  const list = names.split(/[\n,;]/).map((name) => name.trim()).filter((name) => name !== "");
  const match = useAct((accounts: string[]) => api.post<Matched>(`/campaigns/${encodeURIComponent(id)}/accounts/match`, { accounts }), {
    then: (out) => setFound({ ...out, names: out.matched.map((at) => list[at] ?? ""), asked: list.length }),
  });
  return (
    <details>
      <summary>Which of our accounts?</summary>
      <div className="stack">
        <Field label="Account names, one a line" hint="Sidetap keeps only keyed hashes of accounts. The names that you give are hashed the same way, compared and forgotten; that you asked is written to the audit.">
          {(field) => <textarea id={field} rows={4} value={names} onChange={(event) => setNames(event.target.value)} />}
        </Field>
        <div>
          <Act needs="analyst" disabled={list.length === 0 || list.length > 10_000 || match.isPending} onClick={() => match.mutate(list)}>
            Compare {list.length > 0 ? n(list.length) : ""}
          </Act>
        </div>
        {found ? (
          <div className="notice info" role="status">
            {compared(found)}
            {found.names.length > 0 ? (
              <pre className="block">
                <T lines>{found.names.join("\n")}</T>
              </pre>
            ) : null}
          </div>
        ) : null}
      </div>
    </details>
  );
}
