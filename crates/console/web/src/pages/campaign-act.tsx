import { api } from "../api/client";
import type { CampaignDetail, Suggestion } from "../api/types";
import { counted, n, percent } from "../lib/format";
import { words } from "../lib/text";
import { useApi } from "../lib/use";
import { A, useUrl } from "../lib/url";
import { Confirm, Copy, useAct, useMay } from "../ui/act";
import { Card, Empty, Shown } from "../ui/state";
import { Badge, Facts, Meter, T } from "../ui/text";
import { keepDraft } from "./draft";
import { Push } from "./push";

/** What can be done about a campaign, from its page. */
export function CampaignActions({ id, data }: { id: string; data: CampaignDetail }) {
  const touches = ["mitigation", "actions", "approvals", "campaigns"];
  const undo = useAct(() => api.post<unknown>("/mitigation/undo", { campaign: id }), { done: "Taken back from the devices", touches });
  const acting = Object.entries(data.responses).filter(([name]) => !["none", "alert", "log"].includes(name));
  return (
    <>
      <A className="btn" href={`/campaigns/${encodeURIComponent(id)}?tab=policy`}>
        Suggest a policy
      </A>
      <Confirm
        needs="operator"
        label="Undo on devices"
        question="Take everything about this campaign off the devices?"
        detail={<p className="muted">Entries that Sidetap made for its {counted(data.verdicts, "verdict")} are removed. They stay off until somebody lets them be pushed again (<code>sidetap mitigation redo</code>); new verdicts are acted on as policy says.</p>}
        yes="Undo"
        act={() => undo.mutate(undefined)}
        disabled={undo.isPending}
      />
      <Push
        label="Act now"
        question="Push what the policy asks for?"
        detail={
          <div className="stack">
            <p>
              For this campaign the policy asks:{" "}
              {acting.length > 0 ? acting.map(([name, count]) => `${words(name).toLowerCase()} ${n(count)}`).join(", ") : "nothing that acts on a device"}.
            </p>
            <p className="muted">The push brings every device to the state that policy asks for as a whole, this campaign included, within the guards.</p>
          </div>
        }
      />
    </>
  );
}

/** The smallest condition that separates the campaign from honest traffic, and what it would have done. */
export function Suggested({ id }: { id: string }) {
  const may = useMay("analyst");
  const { go } = useUrl();
  const query = useApi<Suggestion>(`/campaigns/${encodeURIComponent(id)}/suggestion`, {}, { enabled: may });
  if (!may) {
    return (
      <Card>
        <Empty title="Suggestions are made for analysts">They are measured on stored exchanges, which your role does not read.</Empty>
      </Card>
    );
  }
  return (
    <Shown query={query}>
      {(data) => (
        <div className="grid side">
          <Card title="Suggested policy" more={<Copy text={data.policy} />}>
            <div className="stack">
              <p>
                <code className="break">
                  <T>{data.condition}</T>
                </code>
              </p>
              <pre className="block" tabIndex={0} aria-label="The policy as YAML">
                <T lines>{data.policy}</T>
              </pre>
              <div className="row">
                <button
                  type="button"
                  className="btn main"
                  onClick={() => {
                    keepDraft(data.policy);
                    go("/policies?tab=edit&draft=suggestion");
                  }}
                >
                  Edit and simulate it
                </button>
              </div>
              {data.notes.map((note) => (
                <p key={note} className="notice info">
                  <T>{note}</T>
                </p>
              ))}
            </div>
          </Card>
          <div className="stack loose">
            <Card title="Measured on stored traffic">
              <div className="stack">
                <Rate name="Precision" value={data.precision} hint="of the requests it fits, how many are malicious" />
                <Rate name="Recall" value={data.recall} hint="of the campaign's requests, how many it fits" />
                <Facts
                  of={[
                    ["Malicious requests hit", `${n(data.malicious.hit)} of ${n(data.malicious.all)}`],
                    ["Honest requests hit", <Badge key="honest" kind={data.honest.hit === 0 ? "ok" : "bad"}>{`${n(data.honest.hit)} of ${n(data.honest.all)}`}</Badge>],
                  ]}
                />
              </div>
            </Card>
            <Card title="What devices can do of it">
              {data.devices.length === 0 ? (
                <p className="muted">No device is configured.</p>
              ) : (
                <ul className="stack">
                  {data.devices.map((device) => (
                    <li key={device.name}>
                      <Badge kind={device.can ? "ok" : "warn"}>{device.can ? "can" : "cannot"}</Badge> <T>{device.name}</T>
                      {device.why ? (
                        <p className="muted small">
                          <T>{device.why}</T>
                        </p>
                      ) : null}
                    </li>
                  ))}
                </ul>
              )}
            </Card>
          </div>
        </div>
      )}
    </Shown>
  );
}

function Rate({ name, value, hint }: { name: string; value: number; hint: string }) {
  return (
    <div>
      <div className="row" style={{ justifyContent: "space-between" }}>
        <strong>{name}</strong>
        <span className="num">{percent(value)}</span>
      </div>
      <Meter value={value} of={1} kind="benign" />
      <p className="muted small">{hint}</p>
    </div>
  );
}
