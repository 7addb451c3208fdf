import type { ReactNode } from "react";

import { api } from "../api/client";
import type { AllowItem, Policies, PolicyRule, PolicyVersion } from "../api/types";
import { counted, duration, n } from "../lib/format";
import { words } from "../lib/text";
import { useApi } from "../lib/use";
import { A, to, useUrl } from "../lib/url";
import { Confirm, useAct } from "../ui/act";
import { AllowForm } from "./allow-form";
import { Approvals } from "./approvals";
import type { Column } from "../ui/list";
import { Exports } from "../ui/export";
import { List } from "../ui/list";
import { Page, Tabs } from "../ui/page";
import { Card, Empty, Shown } from "../ui/state";
import { Badge, Facts, T, Time } from "../ui/text";
import { Editor } from "./policy-editor";

const TABS = [
  { id: "rules", name: "Rules" },
  { id: "edit", name: "Edit and simulate" },
  { id: "approvals", name: "Approvals" },
  { id: "allow", name: "Allow list" },
  { id: "versions", name: "Versions" },
];

export function PoliciesPage() {
  const { search } = useUrl();
  const tab = TABS.some((one) => one.id === search["tab"]) ? (search["tab"] ?? "rules") : "rules";
  const query = useApi<Policies>("/policies");
  return (
    <Page title="Policies" lead="What is done about a verdict, and what no rule can pass.">
      <Tabs label="Parts of the policies" tabs={TABS} chosen={tab} href={(id) => to("/policies", id === "rules" ? {} : { tab: id })} />
      {tab === "rules" ? <Shown query={query}>{(data) => <Rules data={data} />}</Shown> : null}
      {tab === "edit" ? <Shown query={query}>{(data) => <Editor key={data.version} data={data} />}</Shown> : null}
      {tab === "approvals" ? <Approvals /> : null}
      {tab === "allow" ? <Allow /> : null}
      {tab === "versions" ? <Versions /> : null}
    </Page>
  );
}

function Rules({ data }: { data: Policies }) {
  const requests = data.rules.filter((rule) => rule.over === "requests");
  return (
    <div className="stack loose">
      <Card
        title="Rules, in the order they are tried"
        more={
          <span className="row">
            <span className="muted">The first that fits decides</span>
            <Exports path="/policies" />
          </span>
        }
        flush
      >
        <RuleTable name="Rules" rules={data.rules.filter((rule) => rule.over !== "requests")} />
      </Card>
      {requests.length > 0 ? (
        <Card title="Rules over requests" more={<span className="muted">Devices try them on every request, without a verdict</span>} flush>
          <RuleTable name="Rules over requests" rules={requests} />
        </Card>
      ) : null}
      <Guards data={data} />
    </div>
  );
}

function RuleTable({ name, rules }: { name: string; rules: PolicyRule[] }) {
  return (
        <div className="table-wrap" tabIndex={0} role="region" aria-label={name}>
          <table>
            <thead>
              <tr>
                <th scope="col">Rule</th>
                <th scope="col">When</th>
                <th scope="col">Response</th>
                <th scope="col">For</th>
                <th scope="col" className="num">
                  Priority
                </th>
                <th scope="col">From</th>
              </tr>
            </thead>
            <tbody>
              {rules.map((rule) => (
                <Rule key={rule.id} rule={rule} />
              ))}
            </tbody>
          </table>
        </div>
  );
}

function Rule({ rule }: { rule: PolicyRule }) {
  return (
    <tr>
      <td className="wide">
        <A href={to("/actors", { policy: rule.id })} title="Actors that this rule decided about">
          {rule.id}
        </A>
        {rule.enabled ? null : <Badge kind="warn">off</Badge>}
        <span className="sub">
          <T>{rule.description}</T>
        </span>
      </td>
      <td className="wide">
        <code className="break">
          <T>{rule.when}</T>
        </code>
      </td>
      <td className="nowrap">{words(rule.response)}</td>
      <td className="nowrap">{rule.ttl_s ? duration(rule.ttl_s) : "–"}</td>
      <td className="num">{rule.priority ?? "–"}</td>
      <td className="nowrap">
        <T>{rule.source}</T>
      </td>
    </tr>
  );
}

function Guards({ data }: { data: Policies }) {
  return (
    <Card title="Guards">
      <p className="muted">They hold a verdict back whatever a rule says, and the verdict then tells which.</p>
      <Facts
        of={Object.entries(data.guards).map(([name, value]): [string, ReactNode] => [
          words(name),
          <T key={name}>{Array.isArray(value) ? value.map((one) => (typeof one === "object" ? JSON.stringify(one) : String(one))).join(", ") : typeof value === "object" && value !== null ? JSON.stringify(value) : String(value)}</T>,
        ])}
      />
    </Card>
  );
}

const allowColumns = (remove: (row: AllowItem) => void): Column<AllowItem>[] => [
  { id: "value", name: "Who", wide: true, cell: (row) => <T mono>{row.value}</T> },
  { id: "kind", name: "Kind", cell: (row) => words(row.kind) },
  { id: "reason", name: "Reason", wide: true, cell: (row) => <T>{row.reason}</T> },
  { id: "let_go", name: "Lets go", num: true, cell: (row) => <LetGo row={row} /> },
  { id: "by", name: "By", cell: (row) => <span className="who"><T>{row.by}</T></span> },
  { id: "at", name: "Since", cell: (row) => (row.source === "configuration" ? "Always" : <Time at={row.at} />) },
  { id: "expires", name: "Until", cell: (row) => (row.expires_at ? <Time at={row.expires_at} /> : "Always") },
  {
    id: "remove",
    name: "From",
    cell: (row) =>
      row.source === "console" ? (
        <Confirm needs="operator" label="Remove" question="Take it off the allow list?" detail={<T mono>{row.value}</T>} yes="Remove" act={() => remove(row)} />
      ) : (
        <span className="muted">Configuration</span>
      ),
  },
];

/** Convictions that an entry lets go. */
function LetGo({ row }: { row: AllowItem }) {
  const { let_go } = row;
  if (!let_go) return <>–</>;
  const many = `${n(let_go.verdicts)}${let_go.more ? "+" : ""}`;
  const by: Record<string, string> = row.kind === "ip" || row.kind === "cidr" ? { ip: row.value } : { kind: row.kind, q: row.value };
  if (let_go.verdicts === 0) return <>{many}</>;
  return (
    <A href={to("/actors", { ...by, intent: "malicious" })} title={`${counted(let_go.requests, "request")} of attackers`}>
      {many}
    </A>
  );
}

function Allow() {
  const remove = useAct((row: AllowItem) => api.delete<void>(`/allow/${encodeURIComponent(row.id)}`), { done: "Removed", touches: ["allow", "policies"] });
  return (
    <div className="stack loose">
      <Card flush title="Never acted against">
        <List<AllowItem>
          path="/allow"
          caption="Allow list"
          columns={allowColumns((row) => remove.mutate(row))}
          rowId={(row) => row.id}
          sort=""
          empty={<Empty title="The list is empty">Put your own networks, monitoring, partners and the address that you work from on it.</Empty>}
        />
      </Card>
      <Card title="Add">
        <AllowForm />
      </Card>
    </div>
  );
}

const versionColumns: Column<PolicyVersion>[] = [
  { id: "version", name: "Version", num: true, cell: (row) => n(row.version) },
  { id: "at", name: "Saved", cell: (row) => <Time at={row.at} /> },
  { id: "by", name: "By", cell: (row) => <span className="who"><T>{row.by}</T></span> },
  { id: "comment", name: "Comment", wide: true, cell: (row) => <T>{row.comment}</T> },
  {
    id: "text",
    name: "Text",
    wide: true,
    cell: (row) => (
      <details>
        <summary>Show</summary>
        <pre className="block" tabIndex={0} aria-label={`Version ${row.version}`}>
          <T lines>{row.text}</T>
        </pre>
      </details>
    ),
  },
];

function Versions() {
  return (
    <Card flush>
      <List<PolicyVersion> path="/policies/versions" caption="Versions" columns={versionColumns} rowId={(row) => String(row.version)} sort="" bare empty={<Empty title="No policy was saved here yet">The built-in rules decide. A policy saved under “Edit and simulate” is version 1.</Empty>} />
    </Card>
  );
}
