import { useState } from "react";

import { api } from "../api/client";
import type { AuditRow, Device, Entry, Mitigation } from "../api/types";
import { planRows } from "../lib/csv";
import { counted, n } from "../lib/format";
import { isOld } from "../lib/plan";
import { sentence, unticked, words } from "../lib/text";
import { useApi } from "../lib/use";
import { A, pathTo, to, useUrl } from "../lib/url";
import { Act, Confirm, Dialog, Field, useAct, useMay } from "../ui/act";
import { RowExports } from "../ui/export";
import type { Column } from "../ui/list";
import { List } from "../ui/list";
import { Page, Tabs } from "../ui/page";
import { Card, Empty, Shown } from "../ui/state";
import { Badge, Facts, T, Time, Word } from "../ui/text";
import { Actions } from "./actions";
import { RESPONSES } from "./options";
import { PlanTable } from "./plan";
import { Push } from "./push";

const TABS = [
  { id: "devices", name: "Devices" },
  { id: "entries", name: "What is on them" },
  { id: "actions", name: "Actions" },
  { id: "audit", name: "Audit" },
];

const TOUCHES = ["mitigation", "actions", "approvals", "audit"];

export function MitigationPage() {
  const { search } = useUrl();
  const tab = TABS.some((one) => one.id === search["tab"]) ? (search["tab"] ?? "devices") : "devices";
  const query = useApi<Mitigation>("/mitigation");
  return (
    <Page
      title="Mitigation"
      lead="Devices that are told what to do, what they hold, and the way back."
      meta={
        query.data ? (
          <>
            {query.data.devices.length === 0 ? <Badge>no device</Badge> : <Badge kind={query.data.mode === "enforce" ? "warn" : "info"}>{words(query.data.mode)}</Badge>}
            {query.data.killed ? <Badge kind="bad">kill switch is on: nothing is pushed</Badge> : null}
          </>
        ) : null
      }
      actions={query.data ? <Switches data={query.data} /> : null}
    >
      <Tabs label="Parts of mitigation" tabs={TABS} chosen={tab} href={(id) => to("/mitigation", id === "devices" ? {} : { tab: id })} />
      {tab === "devices" ? <Shown query={query}>{(data) => <Devices data={data} />}</Shown> : null}
      {tab === "entries" ? <Entries /> : null}
      {tab === "actions" ? (
        <Actions linked={["verdict", "campaign", "response", "actor", "seen_after", "seen_before"]} empty={<Empty title="No device was asked for anything yet">What a push adds, renews and takes back appears here, with what each device answered.</Empty>} />
      ) : null}
      {tab === "audit" ? <Audit /> : null}
    </Page>
  );
}

function Switches({ data }: { data: Mitigation }) {
  const [undoing, setUndoing] = useState(false);
  const [redoing, setRedoing] = useState(false);
  const kill = useAct((on: boolean) => api.put<void>("/mitigation/kill-switch", { on }), { done: data.killed ? "Pushes go out again" : "Nothing is pushed any more; devices are being emptied", touches: TOUCHES });
  return (
    <>
      <Act needs="operator" onClick={() => setUndoing(true)}>
        Undo…
      </Act>
      <Act needs="operator" onClick={() => setRedoing(true)}>
        Let push again…
      </Act>
      <Confirm
        needs="operator"
        className={data.killed ? "main" : "danger"}
        label={data.killed ? "Release the kill switch" : "Kill switch"}
        question={data.killed ? "Let pushes go out again?" : "Stop all pushes?"}
        detail={<p className="muted">{data.killed ? "Devices are brought to what policy asks for at the next push." : "Everything of Sidetap's comes off the devices at once, and nothing is sent to any of them until it is released. The actions tell what each device answered."}</p>}
        yes={data.killed ? "Release" : "Stop all pushes"}
        act={() => kill.mutate(!data.killed)}
      />
      <Dialog wide title="Undo" open={undoing} close={() => setUndoing(false)}>
        <Undo close={() => setUndoing(false)} />
      </Dialog>
      <Dialog title="Let push again" open={redoing} close={() => setRedoing(false)}>
        <Redo close={() => setRedoing(false)} />
      </Dialog>
    </>
  );
}

type UndoKind = "since" | "policy" | "campaign" | "verdict" | "all";

interface Which {
  kind: UndoKind;
  value: string;
}

const WHICH: Record<UndoKind, string> = { since: "Everything of the last minutes", policy: "Everything of one policy", campaign: "Everything about one campaign", verdict: "One verdict", all: "Everything" };

/** The same as the API is asked. */
function asked({ kind, value }: Which): Record<string, unknown> {
  if (kind === "all") return { all: true };
  if (kind === "since") return { since: new Date(Date.now() - Number(value || "0") * 60_000).toISOString() };
  return { [kind]: value.trim() };
}

/** Fields that say what an undo, or its taking back, is about. */
function WhichFields({ of, change }: { of: Which; change: (to: Which) => void }) {
  return (
    <>
      <Field label="What">
        {(id) => (
          <select
            id={id}
            value={of.kind}
            onChange={(event) => {
              const kind = event.target.value as UndoKind;
              change({ kind, value: kind === "since" ? "60" : "" });
            }}
          >
            {(Object.keys(WHICH) as UndoKind[]).map((one) => (
              <option key={one} value={one}>
                {WHICH[one]}
              </option>
            ))}
          </select>
        )}
      </Field>
      {of.kind === "all" ? null : (
        <Field label={of.kind === "since" ? "Minutes" : `Id of the ${of.kind}`}>
          {(id) => <input id={id} value={of.value} type={of.kind === "since" ? "number" : "text"} min={1} required onChange={(event) => change({ kind: of.kind, value: event.target.value })} />}
        </Field>
      )}
    </>
  );
}

/** Lets what was taken back be pushed, and asked about, again. */
function Redo({ close }: { close: () => void }) {
  const [which, setWhich] = useState<Which>({ kind: "since", value: "60" });
  const redo = useAct(() => api.post<unknown>("/mitigation/redo", asked(which)), { done: "The next push may bring it back", touches: TOUCHES, then: close });
  return (
    <form
      className="stack"
      onSubmit={(event) => {
        event.preventDefault();
        redo.mutate(undefined);
      }}
    >
      <p className="muted">What an undo took back stays off the devices until it is let go here. Nothing is pushed by this; the next push, or a running watch, brings back what policy still asks for.</p>
      <WhichFields of={which} change={setWhich} />
      <div className="row end">
        <Act type="submit" className="main" needs="operator" disabled={redo.isPending}>
          Let push again
        </Act>
      </div>
    </form>
  );
}

function Undo({ close }: { close: () => void }) {
  const [which, setWhich] = useState<Which>({ kind: "since", value: "60" });
  const [plan, setPlan] = useState<unknown>(null);
  const look = useAct(() => api.post<unknown>("/mitigation/undo", { ...asked(which), dry_run: true }), { then: setPlan });
  const undo = useAct(() => api.post<unknown>("/mitigation/undo", asked(which)), { done: "Undone; the actions tell what each device answered", touches: TOUCHES, then: close });
  return (
    <form
      className="stack"
      onSubmit={(event) => {
        event.preventDefault();
        undo.mutate(undefined);
      }}
    >
      <WhichFields
        of={which}
        change={(to) => {
          setWhich(to);
          setPlan(null);
        }}
      />
      {plan ? (
        <section className="card stack">
          <div className="row">
            <RowExports name="What would be removed" rows={() => planRows(plan)} />
          </div>
          <PlanTable plan={plan} name="What would be removed" />
        </section>
      ) : null}
      <div className="row end">
        <Act onClick={() => look.mutate(undefined)} needs="operator" disabled={look.isPending}>
          Show what would go
        </Act>
        <Act type="submit" className="danger" needs="operator" disabled={undo.isPending}>
          Undo
        </Act>
      </div>
    </form>
  );
}

function Devices({ data }: { data: Mitigation }) {
  const [made, setMade] = useState<{ plan: unknown; of: Mitigation } | null>(null);
  const look = useAct((of: Mitigation) => api.post<unknown>("/mitigation/plan", {}).then((plan) => ({ plan, of })), { then: setMade });
  const plan = made && !isOld(made.of, data) ? made.plan : null;
  if (data.devices.length === 0) {
    return (
      <Card>
        <Empty title="No device is configured">
          Name one in <code>sidetap.toml</code>, as <code>[[mitigation.haproxy]]</code>: HAProxy, nginx, nftables, a pull feed for firewalls, and others. Until then verdicts are shown and nothing is blocked.
        </Empty>
      </Card>
    );
  }
  return (
    <div className="stack loose">
      <div className="row end">
        <RowExports name="Devices" rows={() => data.devices.map((device) => ({ ...device }))} />
      </div>
      <div className="grid two">
        {data.devices.map((device) => (
          <DeviceCard key={device.name} device={device} />
        ))}
      </div>
      <Card
        title="Next push"
        more={
          <span className="row">
            <Act needs="analyst" onClick={() => look.mutate(data)} disabled={look.isPending}>
              Show the plan
            </Act>
            {plan ? <RowExports name="Plan" rows={() => planRows(plan)} /> : null}
            <Push label="Push now" question="Bring the devices to what policy asks for?" detail={<p className="muted">Mode: {data.mode}. Guards apply.</p>} disabled={data.killed} />
          </span>
        }
      >
        {plan ? (
          <PlanTable plan={plan} name="The plan" />
        ) : made ? (
          <p className="notice info" role="status">
            Something was done to the devices, or found on them, since the plan was shown: ask for it again.
          </p>
        ) : (
          <p className="muted">The plan says what would be added, refreshed and removed, device by device.</p>
        )}
      </Card>
    </div>
  );
}

/** Words of a list, or what an object says yes to. */
function listed(of: unknown): string {
  if (Array.isArray(of)) return of.map((one) => words(String(one))).join(", ");
  if (of === null || typeof of !== "object") return of ? words(String(of)) : "";
  return Object.entries(of)
    .filter(([name, value]) => name !== "responses" && value !== false && value !== null && !(Array.isArray(value) && value.length === 0))
    .map(([name, value]) => (Array.isArray(value) ? `${words(name)}: ${value.map(String).join(", ")}` : value === true ? words(name) : typeof value === "object" ? `${words(name)}: ${listed(value)}` : `${words(name)}: ${String(value)}`))
    .filter((one) => !one.endsWith(": "))
    .join("; ");
}

const ADDRESSES: Record<string, string> = { peer: "the connection’s address", forwarded: "a forwarded address" };

/** What a device can tell requests by. */
function seen(of: unknown): string {
  if (of === null || typeof of !== "object" || Array.isArray(of)) return listed(of);
  const { address, ...rest } = of as Record<string, unknown>;
  const first = typeof address === "string" ? (ADDRESSES[address] ?? address) : "";
  return sentence([first, listed(rest)].filter(Boolean).join("; "));
}

/** Whether a device answers and holds what it should. */
function Standing({ device }: { device: Device }) {
  if (device.ok === null) return <Badge>not asked yet</Badge>;
  if (device.ok) return <Badge kind="ok">answers</Badge>;
  if (device.error) return <Badge kind="bad">fails</Badge>;
  return device.last_push ? <Badge kind="warn">not as wanted</Badge> : <Badge kind="info">nothing was pushed to it yet</Badge>;
}

function DeviceCard({ device }: { device: Device }) {
  return (
    <Card title={<T>{device.name}</T>} more={<Standing device={device} />}>
      <div className="stack">
        {device.error ? (
          <p className="notice bad">
            <T>{unticked(device.error)}</T>
          </p>
        ) : null}
        {device.ok === false && (device.drift ?? []).length > 0 ? (
          <div className={`notice ${device.last_push ? "warn" : "info"}`}>
            <p>{device.last_push ? "Not as wanted; the next push makes it so:" : "The first push will set:"}</p>
            <ul>
              {(device.drift ?? []).map((one) => (
                <li key={one}>
                  <T>{one}</T>
                </li>
              ))}
            </ul>
          </div>
        ) : null}
        {device.contended ? (
          <p className="notice warn">
            <T>{device.contended.text}</T>, since <Time at={device.contended.since} />, last seen <Time at={device.contended.last} />
          </p>
        ) : null}
        <Facts
          of={[
            ["Kind", words(device.kind)],
            ["Own entries", <A key="e" href={to("/mitigation", { tab: "entries", device: device.name })}>{n(device.entries)}</A>],
            ["Wanted", n(device.wanted)],
            ["Missing", device.missing ? <Badge key="m" kind="warn">{n(device.missing)}</Badge> : n(device.missing)],
            ["Of others", n(device.foreign)],
            ["Sees", seen(device.sees)],
            ["Can", listed(device.can)],
            ["Last push", <Time key="p" at={device.last_push} />],
            ["It answered", <T key="a">{device.last_answer}</T>],
          ]}
        />
        <HowTold device={device} />
      </div>
    </Card>
  );
}

const MODES = ["dry-run", "approve", "enforce"];
const MODE_SAYS: Record<string, string> = {
  "dry-run": "Nothing is changed on it; reports say what would be.",
  approve: "It is changed once somebody has approved it.",
  enforce: "It is changed as policy asks.",
};

/** How a device is told, and asking it how it is. */
function HowTold({ device }: { device: Device }) {
  const path = `/mitigation/devices/${encodeURIComponent(device.name)}`;
  const change = useAct((mode: string) => api.put<{ mode: string }>(`${path}/mode`, { mode: mode === device.configured_mode ? null : mode }), { done: (out) => `${device.name}: ${words(out.mode)}`, touches: TOUCHES });
  const test = useAct(() => api.post<Device>(`${path}/test`), { done: (out) => (out.ok ? `${device.name} answers; it holds ${counted(out.entries ?? 0, "entry", "entries")}` : `${device.name}: ${out.error ?? "it does not hold what it should"}`), touches: TOUCHES });
  const may = useMay("operator");
  return (
    <div className="row" style={{ alignItems: "flex-end" }}>
      <Field label="Mode" hint={`${MODE_SAYS[device.mode] ?? ""}${device.mode === device.configured_mode ? "" : ` The configuration says ${words(device.configured_mode)}.`}`}>
        {(id) => (
          <select id={id} value={device.mode} disabled={!may || change.isPending} title={may ? undefined : "Needs the role operator"} onChange={(event) => change.mutate(event.target.value)}>
            {MODES.map((mode) => (
              <option key={mode} value={mode}>
                {words(mode)}
              </option>
            ))}
          </select>
        )}
      </Field>
      <Act needs="operator" disabled={test.isPending} onClick={() => test.mutate(undefined)}>
        Test
      </Act>
    </div>
  );
}

const entryColumns: Column<Entry>[] = [
  { id: "subject", name: "Subject", wide: true, cell: (row) => (row.verdict ? <A href={pathTo.actor(row.verdict)}><T mono>{row.subject}</T></A> : <T mono>{row.subject}</T>) },
  { id: "device", name: "Device", cell: (row) => <T>{row.device}</T> },
  { id: "response", name: "Response", cell: (row) => words(row.response) },
  { id: "policy", name: "Policy", cell: (row) => <T>{row.policy}</T> },
  { id: "state", name: "State", cell: (row) => <Word id={row.state} /> },
  { id: "since", name: "Since", sort: "-since", cell: (row) => <Time at={row.since} /> },
  { id: "expires", name: "Lets go", sort: "expires_at", cell: (row) => <Time at={row.expires_at} /> },
];

function Entries() {
  return (
    <Card flush>
      <List<Entry>
        path="/mitigation/entries"
        caption="Entries on devices"
        columns={entryColumns}
        rowId={(row) => `${row.device} ${row.subject} ${row.response}`}
        sort="-since"
        filters={[
          { name: "device", label: "Device" },
          { name: "response", label: "Response", options: RESPONSES },
        ]}
        empty={<Empty title="Devices hold nothing of Sidetap's">What a push sends appears here until it expires or is taken back. The plan under Devices says what the next one would send.</Empty>}
      />
    </Card>
  );
}

/** The first of many; the export has all. */
function few(values: unknown[]): string {
  const text = values.slice(0, 3).map((value) => (typeof value === "string" ? value : JSON.stringify(value)));
  return text.join(", ") + (values.length > 3 ? ` and ${n(values.length - 3)} more` : "");
}

/** What an entry of the audit says, without what other columns have. */
function told(detail: unknown): string {
  if (detail === null || typeof detail !== "object" || Array.isArray(detail)) return typeof detail === "string" ? detail : JSON.stringify(detail);
  return Object.entries(detail)
    .filter(([name, value]) => name !== "at" && name !== "actor" && value !== null && value !== "")
    .map(([name, value]) => `${name}: ${Array.isArray(value) ? few(value) : typeof value === "string" ? value : JSON.stringify(value)}`)
    .join(" · ");
}

const auditColumns: Column<AuditRow>[] = [
  { id: "at", name: "When", sort: "-at", cell: (row) => <Time at={row.at} /> },
  { id: "actor", name: "Who", cell: (row) => <span className="nowrap"><T>{row.actor}</T></span> },
  { id: "action", name: "What", cell: (row) => <code>{row.action}</code> },
  { id: "detail", name: "Detail", wide: true, cell: (row) => <T>{told(row.detail)}</T> },
];

function Audit() {
  const may = useMay("analyst");
  if (!may) {
    return (
      <Card>
        <Empty title="The audit is read by analysts" />
      </Card>
    );
  }
  return (
    <Card flush>
      <List<AuditRow> path="/audit" caption="Audit" columns={auditColumns} rowId={(row) => String(row.seq)} sort="-at" filters={[{ name: "actor", label: "Who" }, { name: "action", label: "What begins with" }]} linked={["seen_after", "seen_before"]} empty={<Empty title="Nothing was changed yet" />} />
    </Card>
  );
}
