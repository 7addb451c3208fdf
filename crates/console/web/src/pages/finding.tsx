import { api } from "../api/client";
import type { FindingDetail, FindingItem } from "../api/types";
import { times } from "../lib/format";
import { words } from "../lib/text";
import { useApi, useId } from "../lib/use";
import { A, to } from "../lib/url";
import { useAct } from "../ui/act";
import { Exchanges } from "../ui/exchange";
import { Page } from "../ui/page";
import { RowExports } from "../ui/export";
import { Card, Shown } from "../ui/state";
import { Badge, EndpointName, Facts, T, Time, Word } from "../ui/text";
import type { Work } from "./finding-work";
import { WorkOn } from "./finding-work";

export function FindingPage() {
  const id = useId();
  const path = `/findings/${encodeURIComponent(id)}`;
  const query = useApi<FindingDetail>(path);
  const save = useAct((work: Work) => api.patch<FindingItem>(path, work), { done: "Saved", touches: ["findings", "overview", "endpoints"] });
  const row = query.data?.finding;
  return (
    <Page
      title={row?.title ?? "Finding"}
      heading={row ? <T>{row.title}</T> : "Finding"}
      up={{ href: "/findings", name: "Findings" }}
      meta={
        row ? (
          <>
            <Word id={row.severity} />
            <Badge>{row.certainty}</Badge>
            <Badge>{words(row.work.status)}</Badge>
            {row.owasp.map((one) => (
              <Badge key={one}>{one}</Badge>
            ))}
          </>
        ) : null
      }
    >
      <Shown query={query}>
        {(data) => (
          <div className="grid side">
            <div className="stack loose">
              <Card title="What it is">
                <p className="story">
                  <T>{data.finding.detail}</T>
                </p>
                <Facts
                  of={[
                    ["Rule", <A key="rule" href={to("/findings", { rule: data.finding.rule, status: "any" })}>{data.finding.rule}</A>],
                    ["Kind", words(data.finding.kind)],
                    [
                      "Endpoint",
                      data.endpoint ? (
                        <EndpointName key="endpoint" id={data.endpoint.id} method={data.endpoint.method} host={data.endpoint.host} template={data.endpoint.template} />
                      ) : data.finding.subject.template ? (
                        <T key="endpoint" mono>{`${data.finding.subject.method ?? ""} ${data.finding.subject.host ?? ""}${data.finding.subject.template}`}</T>
                      ) : null,
                    ],
                    ["Client", data.finding.subject.ip ? <A key="ip" href={to("/actors", { ip: data.finding.subject.ip })}>{data.finding.subject.ip}</A> : null],
                    ["Seen", times(data.finding.count)],
                    ["First seen", <Time key="first" at={data.finding.first_seen} />],
                    ["Last seen", <Time key="last" at={data.finding.last_seen} />],
                  ]}
                />
              </Card>
              <Card title="Evidence">
                <Exchanges path={`${path}/exchanges`} />
              </Card>
            </div>
            <div className="stack loose">
              <Card title="Work">
                {data.finding.work.by_rule ? <p className="notice info">A rule that somebody taught decides its state.</p> : null}
                <WorkOn finding={data.finding} save={(work) => save.mutateAsync(work)} busy={save.isPending} />
              </Card>
              {data.history.length > 0 ? (
                <Card title="What was done" more={<RowExports name="What was done" rows={() => data.history.map((step) => ({ ...step }))} />}>
                  <ul className="stack">
                    {data.history.map((step, at) => (
                      <li key={at}>
                        <Time at={step.at} /> <T>{step.by}</T>: {words(step.status).toLowerCase()}
                        {step.assignee ? (
                          <>
                            {" "}
                            to <T>{step.assignee}</T>
                          </>
                        ) : null}
                        {step.note ? (
                          <p className="muted">
                            <T>{step.note}</T>
                          </p>
                        ) : null}
                      </li>
                    ))}
                  </ul>
                </Card>
              ) : null}
            </div>
          </div>
        )}
      </Shown>
    </Page>
  );
}
