import { api } from "../api/client";
import type { VerdictDetail, VerdictRow, WhatIf } from "../api/types";
import { between, duration, n } from "../lib/format";
import { className, words } from "../lib/text";
import { useApi, useId } from "../lib/use";
import { A, pathTo, to, useUrl } from "../lib/url";
import { Confirm, useAct } from "../ui/act";
import { Exchanges } from "../ui/exchange";
import { RowExports } from "../ui/export";
import { Page, Tabs } from "../ui/page";
import { Reasons, reasonRows } from "../ui/reasons";
import { Card, Empty, Shown } from "../ui/state";
import { Badge, ClassName, Facts, Meter, Score, Span, T, Time, Word } from "../ui/text";
import { Actions } from "./actions";

const TABS = [
  { id: "why", name: "Why this score" },
  { id: "exchanges", name: "Exchanges" },
  { id: "actions", name: "Actions" },
];

export function ActorPage() {
  const id = useId();
  const path = `/verdicts/${encodeURIComponent(id)}`;
  const query = useApi<VerdictDetail>(path);
  const { search } = useUrl();
  const tab = TABS.some((one) => one.id === search["tab"]) ? search["tab"] : "why";
  const row = query.data?.verdict;
  return (
    <Page
      title={row?.subject.value ?? "Actor"}
      heading={row ? <T mono>{row.subject.value}</T> : "Actor"}
      up={{ href: "/actors", name: "Actors" }}
      meta={
        row ? (
          <>
            <Word id={row.intent} />
            {row.class ? <ClassName id={row.class} oat={row.oat} /> : null}
            <Badge>{words(row.subject.kind)}</Badge>
            <Span from={row.first_seen} to={row.last_seen} />
          </>
        ) : null
      }
      actions={row ? <ActorActions row={row} /> : null}
    >
      <Tabs label="Parts of the actor" tabs={TABS.map((one) => (one.id === "actions" ? { ...one, count: query.data?.actions_total } : one))} chosen={tab ?? "why"} href={(one) => to(pathTo.actor(id), { tab: one === "why" ? undefined : one })} />
      <Shown query={query} lines={8}>
        {(data) =>
          tab === "exchanges" ? (
            <Card title="Exchanges">
              <Exchanges path={`${path}/exchanges`} />
            </Card>
          ) : tab === "actions" ? (
            <Actions fixed={{ verdict: id }} empty={<Empty title="No device was asked to do anything about it">Where a connector is configured, what it did appears here. <A href="/mitigation">Mitigation</A> shows the devices.</Empty>} />
          ) : (
            <Why id={id} data={data} />
          )
        }
      </Shown>
    </Page>
  );
}

const PHASES: Record<string, string> = {
  online: "While it went on",
  retrospective: "Afterwards, with all that was known by then",
};

const LISTABLE = new Set(["ip", "cidr", "session", "account", "api-key", "fingerprint"]);

function ActorActions({ row }: { row: VerdictRow }) {
  const touches = ["verdicts", "mitigation", "actions", "allow"];
  const undo = useAct(() => api.post<unknown>("/mitigation/undo", { verdict: row.id }), { done: "Taken back from the devices", touches });
  const allow = useAct(() => api.post<unknown>("/allow", { kind: row.subject.kind, value: row.subject.value, reason: `Allowed from the page of ${row.id}` }), { done: "On the allow list: never acted against", touches });
  return (
    <>
      <Confirm
        needs="operator"
        label="Undo on devices"
        question="Take this actor off the devices?"
        detail={<p className="muted">What devices hold because of this verdict is removed, and stays off until somebody lets it be pushed again (<code>sidetap mitigation redo</code>). To let who it is go whatever they do, put them on the allow list.</p>}
        yes="Undo"
        act={() => undo.mutate(undefined)}
      />
      {LISTABLE.has(row.subject.kind) ? (
        <Confirm
          needs="operator"
          label="Never block"
          question="Put it on the allow list?"
          detail={
            <p>
              <T mono>{row.subject.value}</T> will never be acted against, whatever it does, until it is taken off the list under Policies.
            </p>
          }
          yes="Allow"
          act={() => allow.mutate(undefined)}
        />
      ) : null}
    </>
  );
}

function Why({ id, data }: { id: string; data: VerdictDetail }) {
  const { verdict } = data;
  return (
    <div className="grid side">
      <div className="stack loose">
        <Card title="Scores">
          <div className="grid two">
            <ScoreBlock name="Harm" hint="Does it abuse?" value={verdict.score} kind={verdict.intent} />
            <ScoreBlock name="Machine" hint="Is it one?" value={verdict.automation} kind="automated" />
          </div>
        </Card>
        <Card title="Reasons" more={verdict.reasons.length > 0 ? <RowExports name="Reasons" rows={() => reasonRows(verdict.reasons)} /> : null}>
          <Reasons reasons={verdict.reasons} notes={data.indicators} />
        </Card>
        <WhatIfCard id={id} verdict={verdict} />
      </div>
      <div className="stack loose">
        <Card title="What is done">
          <Facts
            of={[
              ["Response", verdict.response === "none" ? "None" : <Badge key="r" kind="info">{words(verdict.response)}</Badge>],
              ["Policy", <T key="p">{verdict.policy}</T>],
              ["For how long", verdict.ttl_s ? duration(verdict.ttl_s) : null],
              ["When it was said", PHASES[verdict.phase] ?? words(verdict.phase)],
              ["Recognised", <span key="d"><Time at={verdict.detected_at} /> (after {between(verdict.first_seen, verdict.detected_at)})</span>],
              ["Campaign", data.campaign ? <A key="c" href={pathTo.campaign(data.campaign.id)}>{className(data.campaign.class)}</A> : null],
            ]}
          />
        </Card>
        <Card title="Who it is">
          <Facts
            known
            of={[
              ["Requests", n(verdict.requests)],
              ["Addresses", <T key="a" mono>{verdict.client_ips.slice(0, 6).join(", ") + (verdict.client_ips.length > 6 ? `, and ${verdict.client_ips.length - 6} more` : "")}</T>],
              ["Seen on most", <T key="h">{[...new Set(verdict.hosts ?? [])].join(", ")}</T>],
              ["Country", verdict.origin?.country],
              ["Organization", verdict.origin?.organization ? <T key="o">{verdict.origin.organization}</T> : null],
              ["Network", verdict.origin?.asn ? `AS${verdict.origin.asn}` : null],
              ["Used for", verdict.origin?.kinds?.join(", ")],
              ["Says it is", <T key="ag">{[verdict.agent?.kind, verdict.agent?.operator, verdict.agent?.function].filter(Boolean).join(", ")}</T>],
              ["Verified", verdict.agent?.verified === null || verdict.agent?.verified === undefined ? null : verdict.agent.verified ? `Yes, by ${verdict.agent.by ?? "its network"}` : "No: refuted"],
              ["Zone", <T key="z">{verdict.zone}</T>],
            ]}
          />
          {verdict.subject.parts && verdict.subject.parts.length > 0 ? (
            <>
              <h3>Parts</h3>
              <ul>
                {verdict.subject.parts.map((part) => (
                  <li key={part.kind + part.value}>
                    {words(part.kind)}: <T mono>{part.value}</T>
                  </li>
                ))}
              </ul>
            </>
          ) : null}
        </Card>
        <Card title="What could be observed">
          <ul className="bars">
            {Object.entries(verdict.coverage).map(([pillar, share]) => {
              const parts = /^(\d+) of (\d+)$/.exec(String(share));
              return (
                <li key={pillar}>
                  <span className="name">{words(pillar)}</span>
                  <Meter value={Number(parts?.[1] ?? 0)} of={Number(parts?.[2] ?? 1)} />
                  <span className="num">{String(share)}</span>
                </li>
              );
            })}
          </ul>
          <p className="muted small">Indicators that could be answered. What cannot be seen counts neither for nor against.</p>
        </Card>
        {data.elsewhere.length > 0 ? (
          <Card title="Shares an address with" more={<RowExports name="Actors that share an address" rows={() => data.elsewhere.map((one) => ({ ...one }))} />}>
            <ul className="stack">
              {data.elsewhere.map((other) => (
                <li key={other.id}>
                  <Word id={other.intent} />{" "}
                  <A href={pathTo.actor(other.id)}>
                    <T mono>{other.subject.value}</T>
                  </A>
                </li>
              ))}
            </ul>
          </Card>
        ) : null}
        {data.actions.length > 0 ? (
          <Card title="Last actions on devices" more={<A href={to(pathTo.actor(id), { tab: "actions" })}>All {n(data.actions_total)}</A>}>
            <ul className="stack">
              {data.actions.slice(0, 5).map((action, at) => (
                <li key={at}>
                  <Time at={action.at} /> <Word id={action.outcome} /> {words(action.kind)} on <T>{action.connector}</T>
                </li>
              ))}
            </ul>
          </Card>
        ) : null}
      </div>
    </div>
  );
}

function ScoreBlock({ name, hint, value, kind }: { name: string; hint: string; value: number; kind: string }) {
  return (
    <div className="stack">
      <div className="row" style={{ justifyContent: "space-between" }}>
        <strong>{name}</strong>
        <span className="muted">{hint}</span>
      </div>
      <Score value={value} kind={kind} />
    </div>
  );
}

/** Leaves indicators out and says what the score would be. */
function WhatIfCard({ id, verdict }: { id: string; verdict: VerdictRow }) {
  const { search, set } = useUrl();
  const known = new Set(verdict.reasons.map((reason) => reason.indicator));
  const without = (search["without"] ?? "").split(",").filter((one) => known.has(one));
  const query = useApi<WhatIf>(`/verdicts/${encodeURIComponent(id)}/what-if`, { without: without.join(",") }, { enabled: without.length > 0, keep: true });
  const toggle = (indicator: string) => set({ without: (without.includes(indicator) ? without.filter((one) => one !== indicator) : [...without, indicator]).join(",") });
  const answer = without.length > 0 ? query.data : undefined;
  return (
    <Card title="What if an indicator were off?">
      <div className="stack">
        <fieldset className="row" style={{ border: 0, padding: 0, margin: 0 }}>
          <legend className="sr">Indicators to leave out</legend>
          {verdict.reasons.map((reason) => (
            <button key={reason.indicator} type="button" className="btn small" aria-pressed={without.includes(reason.indicator)} onClick={() => toggle(reason.indicator)}>
              {without.includes(reason.indicator) ? "without " : ""}
              {reason.indicator}
            </button>
          ))}
        </fieldset>
        <div aria-live="polite">
          {answer ? (
            <Facts
              of={[
                ["Intent", <span key="i"><Word id={answer.intent.was} /> → <Word id={answer.intent.would} /></span>],
                ["Harm", `${answer.score.was} → ${answer.score.would}`],
                ["Machine", `${answer.automation.was} → ${answer.automation.would}`],
              ]}
            />
          ) : query.isError && without.length > 0 ? (
            <p className="notice bad">{query.error.message}</p>
          ) : (
            <p className="muted">Press an indicator to leave it out.</p>
          )}
        </div>
      </div>
    </Card>
  );
}
