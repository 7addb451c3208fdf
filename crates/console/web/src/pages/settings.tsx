import type { FormEvent } from "react";
import { useState } from "react";

import { api, download } from "../api/client";
import type { Health, Role, Run, Settings, Token, User } from "../api/types";
import { ROLES } from "../api/types";
import { bytes, counted, duration, n } from "../lib/format";
import { unticked, words } from "../lib/text";
import { useApi } from "../lib/use";
import { to, useUrl } from "../lib/url";
import { Act, Confirm, Copy, Dialog, Field, useAct, useMay, useSession } from "../ui/act";
import type { Column } from "../ui/list";
import { List } from "../ui/list";
import { Page, Tabs } from "../ui/page";
import { Card, Empty, Shown } from "../ui/state";
import { Badge, Bars, Facts, Meter, T, Time } from "../ui/text";
import { Intel } from "./intel";

export function SettingsPage() {
  const { search } = useUrl();
  const admin = useMay("admin");
  const tabs = [
    { id: "capture", name: "Capture" },
    { id: "store", name: "Store and retention" },
    { id: "account", name: "Account and tokens" },
    ...(admin ? [{ id: "users", name: "Users" }] : []),
    { id: "intelligence", name: "Intelligence" },
    { id: "configuration", name: "Configuration" },
  ];
  const tab = tabs.some((one) => one.id === search["tab"]) ? (search["tab"] ?? "capture") : "capture";
  return (
    <Page title="Settings">
      <Tabs label="Parts of the settings" tabs={tabs} chosen={tab} href={(id) => to("/settings", { tab: id })} />
      {tab === "capture" ? <Capture /> : null}
      {tab === "store" ? <Store /> : null}
      {tab === "account" ? <Account /> : null}
      {tab === "users" ? <Users /> : null}
      {tab === "intelligence" ? <Intel /> : null}
      {tab === "configuration" ? <Configuration /> : null}
    </Page>
  );
}

const STATUS = { ok: "Capture is whole", warn: "Capture has gaps", bad: "Capture is losing data" };

function Capture() {
  const query = useApi<Health>("/health");
  return (
    <Shown query={query}>
      {(health) => (
        <>
        <div className="grid side">
          <div className="stack loose">
            <Card title="How whole it is" more={<Badge kind={health.status}>{STATUS[health.status]}</Badge>}>
              {health.doctor.length === 0 ? (
                <p className="muted">Nothing to say against this capture.</p>
              ) : (
                <ul className="stack">
                  {health.doctor.map((line) => (
                    <li key={line.title} className={`notice ${line.severity}`}>
                      <strong>{unticked(line.title)}</strong>
                      <p>{unticked(line.advice)}</p>
                    </li>
                  ))}
                </ul>
              )}
            </Card>
          </div>
          <div className="stack loose">
            <Card title="Counts">
              <Facts
                of={[
                  ["Packets", n(health.packets.total)],
                  ["Decoded", n(health.packets.decoded)],
                  ["Dropped by the kernel", n(health.packets.kernel_dropped)],
                  ["Stream bytes", bytes(health.streams.bytes)],
                  ["Bytes missed", bytes(health.streams.gap_bytes)],
                  ["Exchanges", n(health.exchanges.total)],
                  ["Incomplete", n(health.exchanges.incomplete)],
                ]}
              />
            </Card>
            <Reasons title="Packets dropped, by reason" of={health.packets.dropped} />
            <Reasons title="Exchanges not whole, by reason" of={health.exchanges.incomplete_reasons} />
            <Reasons title="Anomalies" of={health.anomalies} />
            <Reasons title="Tables that were full" of={health.evictions} />
            <Reasons title="What packet times did" of={health.clock} />
            <Reasons title="What the store let go, or could not keep" of={health.store.evicted} name={counter} />
          </div>
        </div>
        <Runs />
        </>
      )}
    </Shown>
  );
}

const runColumns: Column<Run>[] = [
  {
    id: "inputs",
    name: "Input",
    wide: true,
    cell: (run) =>
      run.inputs.map((input) => (
        <div key={input.path}>
          <T mono>{input.path}</T> {input.error ? <Badge kind="bad">{input.error}</Badge> : null}
        </div>
      )),
  },
  { id: "packets", name: "Packets", num: true, cell: (run) => n(run.packets) },
  { id: "bytes", name: "Bytes", num: true, cell: (run) => bytes(run.bytes) },
  { id: "first", name: "From", sort: "first_ts", cell: (run) => <Time at={run.first_ts} /> },
  { id: "last", name: "To", sort: "-last_ts", cell: (run) => <Time at={run.last_ts} /> },
  { id: "saved", name: "Kept", sort: "-saved_at", cell: (run) => <Time at={run.saved_at} /> },
];

function Runs() {
  return (
    <Card title="Runs" flush>
      <List<Run> path="/runs" caption="Runs" columns={runColumns} rowId={(run) => run.id} sort="-saved_at" search="Input contains" linked={["seen_after", "seen_before"]} empty={<Empty title="Nothing was read yet" />} />
    </Card>
  );
}

const COUNTERS: Record<string, string> = {
  "evidence.missed": "Exchanges wanted as evidence and not remembered any more",
  "evidence.not-kept": "Exchanges without room while the store was not written",
  "evidence.evicted": "Exchanges that went for newer ones",
  "samples.not-kept": "Samples without room while the store was not written",
  "cells.not-kept": "Requests without room among those that policies measure by",
};

/** What a counter of the store says: `retained.endpoints` is of what retention removed, `bound.verdicts` of what went for the file's bound. */
function counter(name: string): string {
  const [kind, table] = name.split(".");
  if (kind === "retained" && table) return `${words(table)}, by retention`;
  if (kind === "bound" && table) return `${words(table)}, for the file’s bound`;
  return COUNTERS[name] ?? words(name);
}

function Reasons({ title, of, name = words }: { title: string; of: Record<string, number> | undefined; name?: (id: string) => string }) {
  const some = Object.values(of ?? {}).some((value) => typeof value === "number" && value > 0);
  if (!some) return null;
  return (
    <Card title={title}>
      <Bars of={of} most={20} name={name} />
    </Card>
  );
}

function Store() {
  const query = useApi<Settings>("/settings");
  const backup = useAct(() => download("/settings/backup", `sidetap-${new Date().toISOString().slice(0, 10)}.db`), { done: "The copy is on its way" });
  return (
    <Shown query={query}>
      {(data) => (
        <div className="grid two">
          <Card
            title="Store"
            more={
              <Act needs="admin" onClick={() => backup.mutate(undefined)} disabled={backup.isPending}>
                Download a backup
              </Act>
            }
          >
            <div className="stack">
              <Facts of={[["File", <T key="f" mono>{data.store.path}</T>], ["Size", `${bytes(data.store.bytes)} of ${bytes(data.store.limit_bytes)}`]]} />
              <Meter value={data.store.bytes} of={data.store.limit_bytes} label="How full the store is" />
            </div>
          </Card>
          <Retention data={data} />
          <Forget />
        </div>
      )}
    </Shown>
  );
}

/** What is kept and for how long, each with the least that the store takes, in its unit. */
const RETENTION: Record<string, { name: string; unit: "days" | "mebibytes" | "number"; least: number }> = {
  age_s: { name: "Rows are kept, days", unit: "days", least: 0.05 },
  journal_age_s: { name: "Actions and audit are kept, days", unit: "days", least: 1 },
  rows: { name: "Rows of a kind, at most", unit: "number", least: 1_000 },
  evidence_age_s: { name: "Exchanges are kept, days", unit: "days", least: 0.05 },
  evidence_bytes: { name: "Exchanges, at most, MiB", unit: "mebibytes", least: 0 },
  limit_bytes: { name: "Whole file, at most, MiB", unit: "mebibytes", least: 64 },
};

function scale(unit: string): number {
  return unit === "days" ? 86_400 : unit === "mebibytes" ? 1_048_576 : 1;
}

function shownAs(value: unknown, unit: string): number {
  return Math.round((Number(value) / scale(unit)) * 100) / 100;
}

function Retention({ data }: { data: Settings }) {
  const may = useMay("admin");
  const save = useAct((body: Record<string, number>) => api.patch<unknown>("/settings/retention", body), { done: "Saved", touches: ["settings"] });
  const fields = Object.entries(RETENTION).filter(([key]) => typeof data.retention[key] === "number");
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const body: Record<string, number> = {};
    for (const [key, field] of fields) {
      const value = Math.round(Number(form.get(key)) * scale(field.unit));
      // A rounded number that nobody changed is not a change.
      if (Number(form.get(key)) !== shownAs(data.retention[key], field.unit)) body[key] = value;
    }
    save.mutate(body);
  };
  return (
    <Card title="How long and how much is kept">
      <form className="stack" onSubmit={submit}>
        {fields.map(([key, field]) => (
          <Field key={key} label={field.name}>
            {(id) => <input id={id} name={key} type="number" min={field.least} step="any" required disabled={!may} defaultValue={shownAs(data.retention[key], field.unit)} />}
          </Field>
        ))}
        <div className="row end">
          <Act needs="admin" type="submit" className="main" disabled={save.isPending || !data.writable}>
            Save
          </Act>
        </div>
      </form>
    </Card>
  );
}

function Forget() {
  const [kind, setKind] = useState("account");
  const [value, setValue] = useState("");
  const forget = useAct(() => api.post<{ removed: Record<string, number> }>("/settings/forget", { kind, value: value.trim() }), {
    done: (out) => {
      const rows = Object.values(out.removed).reduce((sum, one) => sum + one, 0);
      return rows > 0 ? `Forgotten: ${counted(rows, "row")}` : `Nothing that is stored tells of this ${words(kind).toLowerCase()}`;
    },
    touches: ["verdicts", "campaigns", "findings", "overview", "exchanges", "settings"],
    then: () => setValue(""),
  });
  return (
    <Card title="Forget somebody everywhere">
      <div className="stack">
        <p className="muted">Removes an account, an address, a session or a key from all that is stored; a watch on this store forgets it too, and entries on devices go with their verdicts. Copies that were made before still have it. It cannot be undone.</p>
        <Field label="Kind">
          {(id) => (
            <select id={id} value={kind} onChange={(event) => setKind(event.target.value)}>
              {["account", "ip", "session", "api-key"].map((one) => (
                <option key={one} value={one}>
                  {words(one)}
                </option>
              ))}
            </select>
          )}
        </Field>
        <Field label="Value" hint="As people write it, or as outputs spell it.">{(id) => <input id={id} className="mono" value={value} onChange={(event) => setValue(event.target.value)} />}</Field>
        <div className="row end">
          <Confirm needs="admin" className="danger" label="Forget…" question={`Forget this ${words(kind).toLowerCase()} everywhere?`} detail={<T mono>{value}</T>} yes="Forget" act={() => forget.mutate(undefined)} disabled={value.trim() === "" || forget.isPending} />
        </div>
      </div>
    </Card>
  );
}

const tokenColumns = (remove: (row: Token) => void): Column<Token>[] => [
  { id: "name", name: "Token", wide: true, cell: (row) => <T>{row.name}</T> },
  { id: "user", name: "Of", cell: (row) => <span className="who"><T>{row.user}</T></span> },
  { id: "role", name: "May", cell: (row) => `${row.role}${row.read_only ? ", read only" : ""}` },
  { id: "expires", name: "Expires", cell: (row) => (row.expires_at ? <Time at={row.expires_at} /> : "Never") },
  { id: "used", name: "Last used", cell: (row) => <Time at={row.last_used} /> },
  { id: "remove", name: "Revoke", cell: (row) => <Confirm label="Revoke" question={`Revoke ${row.name}?`} detail={<p className="muted">Whatever uses it is refused from now on.</p>} yes="Revoke" act={() => remove(row)} /> },
];

function Account() {
  const session = useSession();
  const remove = useAct((row: Token) => api.delete<void>(`/tokens/${encodeURIComponent(row.id)}`), { done: "Revoked", touches: ["tokens"] });
  return (
    <div className="grid side">
      <Card title="API tokens" flush>
        <List<Token> path="/tokens" caption="Tokens" columns={tokenColumns((row) => remove.mutate(row))} rowId={(row) => row.id} sort="" bare empty={<Empty title="No token was made">A token lets a script do what this page does, with a role of its own.</Empty>} />
      </Card>
      <div className="stack loose">
        <Card title="New token">
          <NewToken />
        </Card>
        <Card title={`Password of ${session.user.name}`}>
          <Password />
        </Card>
      </div>
    </div>
  );
}

function NewToken() {
  const session = useSession();
  const [made, setMade] = useState<string | null>(null);
  const make = useAct((body: Record<string, unknown>) => api.post<{ id: string; token: string }>("/tokens", body), { touches: ["tokens"], then: (out) => setMade(out.token) });
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const days = Number(form.get("days"));
    make.mutate({ name: String(form.get("name")), role: String(form.get("role")), read_only: form.get("read") === "on", ...(days > 0 ? { expires_in_s: Math.round(days * 86_400) } : {}) });
  };
  return (
    <>
      <form className="stack" onSubmit={submit}>
        <Field label="Name">{(id) => <input id={id} name="name" required placeholder="What uses it" />}</Field>
        <Field label="Role">
          {(id) => (
            <select id={id} name="role" defaultValue="viewer">
              {ROLES.slice(0, ROLES.indexOf(session.user.role) + 1).map((role) => (
                <option key={role}>{role}</option>
              ))}
            </select>
          )}
        </Field>
        <Field label="Days until it expires (empty: never)">{(id) => <input id={id} name="days" type="number" min={1} defaultValue={90} />}</Field>
        <label className="check">
          <input type="checkbox" name="read" defaultChecked /> Read only
        </label>
        <div className="row end">
          <button type="submit" className="btn main" disabled={make.isPending}>
            Create token
          </button>
        </div>
      </form>
      <Dialog title="The token, shown this once" open={made !== null} close={() => setMade(null)}>
        <pre className="block">{made}</pre>
        <div className="row end">
          <Copy text={made ?? ""} />
        </div>
      </Dialog>
    </>
  );
}

function Password() {
  const change = useAct((body: { old: string; new: string; remove_tokens: boolean }) => api.put<void>("/session/password", body), { done: "Changed; your other sessions have ended" });
  return (
    <form
      className="stack"
      onSubmit={(event) => {
        event.preventDefault();
        const form = new FormData(event.currentTarget);
        change.mutate({ old: String(form.get("old")), new: String(form.get("new")), remove_tokens: form.get("tokens") !== null });
        event.currentTarget.reset();
      }}
    >
      <Field label="Present password">{(id) => <input id={id} name="old" type="password" autoComplete="current-password" required />}</Field>
      <Field label="New password" hint="12 characters or more.">{(id) => <input id={id} name="new" type="password" autoComplete="new-password" minLength={12} required />}</Field>
      <label className="check">
        <input type="checkbox" name="tokens" /> Remove my API tokens too
      </label>
      <div className="row end">
        <button type="submit" className="btn" disabled={change.isPending}>
          Change password
        </button>
      </div>
    </form>
  );
}

function RoleOf({ user }: { user: User }) {
  const change = useAct((role: Role) => api.patch<void>(`/users/${encodeURIComponent(user.name)}`, { role }), { done: "Changed", touches: ["users"] });
  // Arrow keys and letters choose at once: nothing is done before somebody says yes.
  const [chosen, setChosen] = useState<Role | null>(null);
  return (
    <>
      <select aria-label={`Role of ${user.name}`} value={chosen ?? user.role} onChange={(event) => setChosen(event.target.value as Role)}>
        {ROLES.map((role) => (
          <option key={role}>{role}</option>
        ))}
      </select>
      {chosen !== null && chosen !== user.role ? (
        <span className="row">
          <Confirm
            needs="admin"
            label="Change…"
            question={`Make ${user.name} ${chosen}?`}
            detail={<p className="muted">{user.name} is {user.role} now.</p>}
            yes="Change"
            act={() => change.mutate(chosen, { onSettled: () => setChosen(null) })}
            disabled={change.isPending}
          />
          <button type="button" className="btn quiet" onClick={() => setChosen(null)}>
            Leave it
          </button>
        </span>
      ) : null}
    </>
  );
}

/** An administrator sets somebody a new password: who forgot his has no other way in. */
function PasswordOf({ user }: { user: User }) {
  const [open, setOpen] = useState(false);
  const set = useAct((body: { password: string; remove_tokens: boolean }) => api.patch<void>(`/users/${encodeURIComponent(user.name)}`, body), {
    done: `${user.name} has the new password; every session of ${user.name} has ended`,
    touches: ["users", "tokens"],
    then: () => setOpen(false),
  });
  return (
    <>
      <Act needs="admin" onClick={() => setOpen(true)}>
        Password…
      </Act>
      <Dialog title={`New password of ${user.name}`} open={open} close={() => setOpen(false)}>
        <form
          className="stack"
          onSubmit={(event) => {
            event.preventDefault();
            const form = new FormData(event.currentTarget);
            set.mutate({ password: String(form.get("password")), remove_tokens: form.get("tokens") !== null });
            event.currentTarget.reset();
          }}
        >
          <Field label="New password" hint="12 characters or more.">{(id) => <input id={id} name="password" type="password" minLength={12} required autoComplete="new-password" />}</Field>
          <label className="check">
            <input type="checkbox" name="tokens" /> Remove API tokens of {user.name} too
          </label>
          <div className="row end">
            <button type="submit" className="btn main" disabled={set.isPending}>
              Set password
            </button>
          </div>
        </form>
      </Dialog>
    </>
  );
}

const userColumns = (act: { disable: (user: User) => void; remove: (user: User) => void }): Column<User>[] => [
  { id: "name", name: "Name", wide: true, cell: (row) => <><T>{row.name}</T> {row.disabled ? <Badge kind="warn">disabled</Badge> : null}</> },
  { id: "role", name: "Role", cell: (row) => <RoleOf user={row} /> },
  { id: "login", name: "Last log-in", cell: (row) => <Time at={row.last_login} /> },
  { id: "sessions", name: "Sessions", num: true, cell: (row) => n(row.sessions) },
  {
    id: "act",
    name: "Change",
    cell: (row) => (
      <div className="row">
        {row.disabled ? (
          <Act needs="admin" onClick={() => act.disable(row)}>
            Enable
          </Act>
        ) : (
          <Confirm needs="admin" label="Disable" question={`Disable ${row.name}?`} detail={<p className="muted">Every session and token of {row.name} ends at once.</p>} yes="Disable" act={() => act.disable(row)} />
        )}
        <PasswordOf user={row} />
        <Confirm needs="admin" label="Remove" question={`Remove ${row.name}?`} yes="Remove" act={() => act.remove(row)} />
      </div>
    ),
  },
];

function Users() {
  const disable = useAct((user: User) => api.patch<void>(`/users/${encodeURIComponent(user.name)}`, { disabled: !user.disabled }), { done: "Changed", touches: ["users"] });
  const remove = useAct((user: User) => api.delete<void>(`/users/${encodeURIComponent(user.name)}`), { done: "Removed", touches: ["users"] });
  const add = useAct((body: Record<string, unknown>) => api.post<unknown>("/users", body), { done: "Created", touches: ["users"] });
  return (
    <div className="grid side">
      <Card flush title="Users">
        <List<User> path="/users" caption="Users" columns={userColumns({ disable: (user) => disable.mutate(user), remove: (user) => remove.mutate(user) })} rowId={(row) => row.name} sort="" bare />
      </Card>
      <Card title="New user">
        <form
          className="stack"
          onSubmit={(event) => {
            event.preventDefault();
            const form = new FormData(event.currentTarget);
            add.mutate({ name: String(form.get("name")).trim(), role: String(form.get("role")), password: String(form.get("password")) });
            event.currentTarget.reset();
          }}
        >
          <Field label="Name">{(id) => <input id={id} name="name" required autoComplete="off" />}</Field>
          <Field label="Role" hint="Viewers read lists and pages; analysts read evidence and work on findings; operators save policies and act on devices; administrators do everything.">
            {(id) => (
              <select id={id} name="role" defaultValue="analyst">
                {ROLES.map((role) => (
                  <option key={role}>{role}</option>
                ))}
              </select>
            )}
          </Field>
          <Field label="First password" hint="12 characters or more.">{(id) => <input id={id} name="password" type="password" minLength={12} required autoComplete="new-password" />}</Field>
          <div className="row end">
            <Act needs="admin" type="submit" className="main" disabled={add.isPending}>
              Create user
            </Act>
          </div>
        </form>
      </Card>
    </div>
  );
}

function Configuration() {
  const query = useApi<Settings>("/settings");
  return (
    <Shown query={query}>
      {(data) => (
        <div className="grid side">
          <Card title="Configuration">
            {data.configuration ? (
              <div className="stack">
                <p className="muted small">The file as this server read it at its start, without comments. What could be a secret is hidden; what the command line says instead is not in it.</p>
                <pre className="block" tabIndex={0} aria-label="Configuration">
                  <T lines>{data.configuration}</T>
                </pre>
              </div>
            ) : (
              <Empty title="No configuration file">Every setting has its default. The reference is printed by <code>sidetap config reference</code>.</Empty>
            )}
          </Card>
          <Card title="This server">
            <Facts
              of={[
                ["Version", data.version],
                ["Listens on", <T key="l" mono>{data.listen}</T>],
                ["TLS", data.tls ? <Badge key="t" kind="ok">on</Badge> : <Badge key="t">off</Badge>],
                ["Host names", <T key="h">{data.hosts.join(", ")}</T>],
                ["Reads packets", data.live ? "Yes" : "No, it shows what was stored"],
                ["Session ends", duration(12 * 3600)],
                ["Libraries", <a key="li" href="/licenses.txt">Licences of what the pages are built from</a>],
              ]}
            />
          </Card>
        </div>
      )}
    </Shown>
  );
}
