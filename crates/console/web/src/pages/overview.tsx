import type { Overview, TrafficPoint } from "../api/types";
import { INTENTS, SEVERITIES } from "../api/types";
import { band, bytes, n, percent, short } from "../lib/format";
import { words } from "../lib/text";
import { useApi } from "../lib/use";
import { A, pathTo, to, useUrl } from "../lib/url";
import { TrafficChart } from "../ui/chart";
import { Exports } from "../ui/export";
import { Page } from "../ui/page";
import { Card, Empty, Shown } from "../ui/state";
import { Badge, ClassName, EndpointName, Facts, Meter, Score, Span, T, Time, Word } from "../ui/text";
import { ChangeLine, OutcomeLine } from "./columns";

export function OverviewPage() {
  const query = useApi<Overview>("/overview");
  return (
    <Page
      title="Overview"
      lead={query.data?.span.from && query.data.span.to ? <>Captured <Span from={query.data.span.from} to={query.data.span.to} /></> : undefined}
    >
      <Shown query={query} lines={10}>
        {(data) => (data.totals.exchanges === 0 && data.totals.endpoints === 0 ? <Nothing /> : <Whole data={data} />)}
      </Shown>
    </Page>
  );
}

function Nothing() {
  return (
    <Card>
      <Empty title="Nothing was captured yet">
        Give Sidetap a mirror port with <code>sidetap watch -i eth1 --store sidetap.db</code>, or a capture with{" "}
        <code>sidetap replay capture.pcap --out out --store sidetap.db</code>. <code>sidetap doctor -i eth1</code> tells what a mirror port shows.
      </Empty>
    </Card>
  );
}

function Whole({ data }: { data: Overview }) {
  return (
    <>
      <Tiles data={data} />
      <div className="grid side even">
        <Traffic data={data} />
        <HealthCard data={data} />
      </div>
      <div className="grid side even">
        <Campaigns data={data} />
        <Risk data={data} />
      </div>
      <div className="grid two">
        <Endpoints data={data} />
        <Changes data={data} />
      </div>
    </>
  );
}

function Tiles({ data }: { data: Overview }) {
  const { totals } = data;
  const tiles: { name: string; value: number; href: string; tone?: string }[] = [
    { name: "campaigns", value: totals.campaigns, href: "/campaigns", tone: totals.campaigns > 0 ? "malicious" : "" },
    { name: "malicious actors", value: totals.malicious, href: to("/actors", { intent: "malicious" }), tone: totals.malicious > 0 ? "malicious" : "" },
    { name: "open findings", value: totals.findings_open, href: "/findings", tone: totals.findings_open > 0 ? "suspicious" : "" },
    { name: "shadow endpoints", value: totals.shadow, href: to("/inventory", { view: "table", standing: "shadow" }), tone: totals.shadow > 0 ? "suspicious" : "" },
    { name: "endpoints", value: totals.endpoints, href: to("/inventory", { view: "table" }) },
    { name: "hosts", value: totals.hosts, href: "/inventory" },
    { name: "places with sensitive data", value: totals.sensitive, href: "/sensitive" },
    { name: "exchanges", value: totals.exchanges, href: "/settings?tab=capture" },
  ];
  return (
    <div className="tiles">
      {tiles.map((tile) => (
        <A key={tile.name} href={tile.href} className={`tile ${tile.tone ?? ""}`}>
          <b>{short(tile.value)}</b>
          <span>{tile.name}</span>
        </A>
      ))}
    </div>
  );
}

const moment = (seconds: number) => new Date(seconds * 1000).toISOString();

/** The time that the address names, where it names one. */
function spanOf(from: string | undefined, to: string | undefined): { from: string; to: string } | null {
  const [begin, end] = [Date.parse(from ?? ""), Date.parse(to ?? "")];
  return begin < end ? { from: moment(begin / 1000), to: moment(end / 1000) } : null;
}

function Traffic({ data }: { data: Overview }) {
  const { search, set } = useUrl();
  const span = spanOf(search["from"], search["to"]);
  const zoomed = useApi<{ bucket_s: number; points: TrafficPoint[] }>(
    "/traffic",
    span ?? {},
    { enabled: span !== null, keep: true },
  );
  const traffic = span && zoomed.data ? zoomed.data : data.traffic;
  const all = INTENTS.reduce((sum, intent) => sum + data.intents[intent], 0);
  return (
    <Card
      title="Requests by intent"
      more={
        span ? (
          <button type="button" className="btn" onClick={() => set({ from: undefined, to: undefined }, true)}>
            Show all
          </button>
        ) : (
          <span className="muted small">Drag over the picture to look closer</span>
        )
      }
    >
      {traffic.points.length === 0 ? <Empty title="No traffic is counted for this time" /> : <TrafficChart traffic={traffic} zoom={(from, to) => set({ from: moment(from), to: moment(to) }, true)} />}
      {all > 0 ? (
        <p className="small muted">
          Of all:{" "}
          {INTENTS.map((intent, at) => (
            <span key={intent}>
              {at > 0 ? ", " : ""}
              {intent === "benign" ? (
                `${percent(data.intents[intent] / all)} ${intent}`
              ) : (
                <A href={to("/actors", { intent })}>
                  {percent(data.intents[intent] / all)} {intent}
                </A>
              )}
            </span>
          ))}
          .
        </p>
      ) : null}
    </Card>
  );
}

const STATUS = { ok: "Whole", warn: "With gaps", bad: "Losing data" };

function HealthCard({ data }: { data: Overview }) {
  const { health } = data;
  const dropped = Object.values(health.packets.dropped ?? {}).reduce((sum, value) => sum + value, 0);
  const advice = health.doctor.filter((line) => line.severity !== "info");
  return (
    <Card title="Capture" more={<A href="/settings?tab=capture">Details</A>}>
      <div className="stack">
        <p>
          <Badge kind={health.status}>{STATUS[health.status]}</Badge>
        </p>
        <Facts
          of={[
            ["Packets", n(health.packets.total)],
            ["Dropped", n(dropped + (health.packets.kernel_dropped ?? 0))],
            ["Gaps", bytes(health.streams.gap_bytes)],
            ["Exchanges", n(health.exchanges.total)],
            ["Seen whole", health.exchanges.total && (health.exchanges.complete ?? 0) + (health.exchanges.incomplete ?? 0) > 0 ? percent((health.exchanges.complete ?? 0) / health.exchanges.total) : "–"],
            ["Store", `${bytes(health.store.bytes)} of ${bytes(health.store.limit_bytes)}`],
          ]}
        />
        {advice.slice(0, 3).map((line) => (
          <div key={line.title} className={`notice ${line.severity}`}>
            <strong>{line.title}</strong>
            <p className="small">{line.advice}</p>
          </div>
        ))}
      </div>
    </Card>
  );
}

/** Among how many of the latest campaigns the server looks for the worst. */
const LATEST = 50;

function Campaigns({ data }: { data: Overview }) {
  return (
    <Card
      title="Worst campaigns"
      more={
        <span className="row">
          {data.totals.campaigns > LATEST ? <span className="muted small">of the latest {LATEST}</span> : null}
          <A href="/campaigns">All {n(data.totals.campaigns)}</A>
        </span>
      }
      flush
    >
      {data.campaigns.length === 0 ? (
        <Empty title="No campaign was recognised">Actors that act together appear here with what they are after.</Empty>
      ) : (
        <div className="table-wrap" tabIndex={0} role="region" aria-label="Worst campaigns">
          <table>
            <thead>
              <tr>
                <th scope="col">Campaign</th>
                <th scope="col" className="num">
                  Harm
                </th>
                <th scope="col" className="num">
                  Members
                </th>
                <th scope="col">How far it got</th>
              </tr>
            </thead>
            <tbody>
              {data.campaigns.map((row) => (
                <tr key={row.id}>
                  <td>
                    <A href={pathTo.campaign(row.id)}>
                      <ClassName id={row.class} oat={row.oat} />
                    </A>
                    <span className="sub">
                      <T mono>{row.endpoints[0]}</T>
                    </span>
                  </td>
                  <td className="num">
                    <Score value={row.score} kind="malicious" />
                  </td>
                  <td className="num">{n(row.members)}</td>
                  <td>
                    <OutcomeLine outcome={row.outcome} />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </Card>
  );
}

const BANDS = [
  { id: "critical", min: "80", max: "" },
  { id: "high", min: "60", max: "79" },
  { id: "medium", min: "30", max: "59" },
  { id: "low", min: "1", max: "29" },
] as const;

function Risk({ data }: { data: Overview }) {
  const most = Math.max(1, ...BANDS.map((one) => data.risk[one.id] ?? 0));
  const severities = data.findings.by_severity;
  const top = Math.max(1, ...SEVERITIES.map((one) => severities[one] ?? 0));
  return (
    <Card title="Risk">
      <div className="stack loose">
        <div className="stack">
          <h3>Endpoints by risk</h3>
          <ul className="bars">
            {BANDS.map((one) => (
              <li key={one.id}>
                <A className="name" href={to("/inventory", { view: "table", min_risk: one.min, max_risk: one.max })}>
                  {words(one.id)}
                </A>
                <Meter value={data.risk[one.id] ?? 0} of={most} kind={one.id} />
                <span className="num">{n(data.risk[one.id] ?? 0)}</span>
              </li>
            ))}
          </ul>
        </div>
        <div className="stack">
          <h3>Open findings by severity</h3>
          <ul className="bars">
            {SEVERITIES.map((one) => (
              <li key={one}>
                <A className="name" href={to("/findings", { severity: one })}>
                  {words(one)}
                </A>
                <Meter value={severities[one] ?? 0} of={top} kind={one === "info" ? "low" : one} />
                <span className="num">{n(severities[one] ?? 0)}</span>
              </li>
            ))}
          </ul>
        </div>
      </div>
    </Card>
  );
}

function Endpoints({ data }: { data: Overview }) {
  return (
    <Card title="Riskiest endpoints" more={<A href={to("/inventory", { view: "table" })}>All {n(data.totals.endpoints)}</A>} flush>
      {data.endpoints.length === 0 ? (
        <Empty title="No endpoint was seen" />
      ) : (
        <div className="table-wrap" tabIndex={0} role="region" aria-label="Riskiest endpoints">
          <table>
            <thead>
              <tr>
                <th scope="col">Endpoint</th>
                <th scope="col" className="num">
                  Risk
                </th>
                <th scope="col">Standing</th>
              </tr>
            </thead>
            <tbody>
              {data.endpoints.map((row) => (
                <tr key={row.id}>
                  <td>
                    <EndpointName id={row.id} method={row.method} template={row.template} />
                    <span className="sub">
                      <T>{row.host}</T>
                    </span>
                  </td>
                  <td className="num">
                    <Score value={row.risk} kind={band(row.risk)} />
                  </td>
                  <td>{row.standing === "unknown" ? <span className="muted nowrap">Not described</span> : <Word id={row.standing} />}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </Card>
  );
}

function Changes({ data }: { data: Overview }) {
  return (
    <Card
      title="What changed"
      more={
        <span className="row">
          <Exports path="/changes" />
        </span>
      }
    >
      {data.changes.length === 0 ? (
        <Empty title="Nothing changed yet">New endpoints, changed authentication, new sensitive data and campaigns are listed here.</Empty>
      ) : (
        <ul className="timeline">
          {data.changes.slice(0, 12).map((change) => (
            <ChangeLine key={change.seq} change={change} />
          ))}
        </ul>
      )}
      {data.actions.length > 0 ? (
        <>
          <h3>Last actions on devices</h3>
          <ul className="timeline">
            {data.actions.slice(0, 5).map((action, at) => (
              <li key={action.seq ?? at}>
                <Time at={action.at} />
                <span>
                  <Word id={action.outcome} /> {words(action.kind)} on <T>{action.connector}</T>: <T mono>{action.subject}</T>
                </span>
              </li>
            ))}
          </ul>
        </>
      ) : null}
    </Card>
  );
}
