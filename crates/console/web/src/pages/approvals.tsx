import { useState } from "react";

import { api } from "../api/client";
import type { Approval, Page as Rows, Settings } from "../api/types";
import { counted, n } from "../lib/format";
import { words } from "../lib/text";
import { useApi } from "../lib/use";
import { A, pathTo, to, useUrl } from "../lib/url";
import { Act, Dialog, Field, useAct } from "../ui/act";
import type { Column } from "../ui/list";
import { List } from "../ui/list";
import { Card, Empty, Shown } from "../ui/state";
import { T, Time, Word } from "../ui/text";
import { Push } from "./push";

const TOUCHES = ["approvals", "mitigation", "actions", "policies"];

const approvalColumns = (decide: (row: Approval, yes: boolean) => void, busy: boolean): Column<Approval>[] => [
  {
    id: "title",
    name: "What is asked",
    wide: true,
    cell: (row) => (
      <>
        <T>{row.title}</T>
        <span className="sub">
          <T>{row.why}</T>
        </span>
        {row.plan !== null && row.plan !== undefined && JSON.stringify(row.plan) !== "{}" ? (
          <details>
            <summary className="small">Plan</summary>
            <pre className="block">
              <T lines>{JSON.stringify(row.plan, null, 2)}</T>
            </pre>
          </details>
        ) : null}
      </>
    ),
  },
  { id: "status", name: "State", cell: (row) => <Word id={row.status} /> },
  { id: "response", name: "Response", cell: (row) => (row.response ? words(row.response) : "–") },
  {
    id: "about",
    name: "About",
    cell: (row) => (
      <>
        {row.campaign ? <A href={pathTo.campaign(row.campaign)}>Campaign</A> : row.verdict ? <A href={pathTo.actor(row.verdict)}>Actor</A> : null}
        <span className="sub">
          <T>{row.subject ?? row.policy}</T>
        </span>
      </>
    ),
  },
  { id: "connector", name: "Device", cell: (row) => <T>{row.connector}</T> },
  { id: "at", name: "Asked", sort: "-at", cell: (row) => <Time at={row.at} /> },
  { id: "expires", name: "Expires", cell: (row) => <Time at={row.expires_at} /> },
  {
    id: "decide",
    name: "Decision",
    cell: (row) =>
      row.status === "pending" ? (
        <div className="row">
          <Act needs="operator" className="main" disabled={busy} onClick={() => decide(row, true)}>
            Approve
          </Act>
          <Act needs="operator" disabled={busy} onClick={() => decide(row, false)}>
            Reject
          </Act>
        </div>
      ) : (
        <>
          <span className="who">
            <T>{row.decided_by}</T>
          </span>
          <span className="sub">
            <Time at={row.decided_at} />
          </span>
        </>
      ),
  },
];

/** What decides several at once, as the API takes it. */
interface Choice {
  all?: true;
  ids?: number[];
  campaign?: string;
  policy?: string;
  verdict?: string;
  up_to?: number;
  note?: string;
}

interface Decided {
  decided: number;
  taken_back: number;
}

function useDecideAll(yes: boolean, then: (out: Decided) => void) {
  const done = (out: Decided) => `${n(out.decided)} ${yes ? "approved" : "rejected"}${out.taken_back > 0 ? `; ${n(out.taken_back)} ask no more, since what they are about was taken back` : ""}`;
  return useAct((choice: Choice) => api.post<Decided>(`/approvals/${yes ? "approve" : "reject"}`, choice), { done, touches: TOUCHES, then });
}

/** Decides the rows that were chosen. */
function Bulk({ ids, clear, approved }: { ids: string[]; clear: () => void; approved: (count: number) => void }) {
  const done = (out: Decided) => {
    approved(out.decided);
    clear();
  };
  const [approve, reject] = [useDecideAll(true, done), useDecideAll(false, clear)];
  const choice = { ids: ids.map(Number) };
  const busy = approve.isPending || reject.isPending;
  return (
    <>
      <span>{n(ids.length)} chosen</span>
      <Act needs="operator" className="main" disabled={busy} onClick={() => approve.mutate(choice)}>
        Approve them
      </Act>
      <Act needs="operator" disabled={busy} onClick={() => reject.mutate(choice)}>
        Reject them
      </Act>
      <button type="button" className="btn quiet" onClick={clear}>
        Choose none
      </button>
    </>
  );
}

/** Decides all that waits and that the filters let through, those too that are not shown. */
function DecideAll({ approved }: { approved: (count: number) => void }) {
  const { search } = useUrl();
  const [open, setOpen] = useState(false);
  const words_ = (search["q"] ?? "") !== "";
  const waiting = ["", "pending"].includes(search["status"] ?? "");
  return (
    <>
      <Act needs="operator" disabled={words_ || !waiting} title={words_ ? "Filter by campaign or policy, not by words" : waiting ? undefined : "Only what waits can be decided"} onClick={() => setOpen(true)}>
        Decide all…
      </Act>
      <Dialog title="Decide all that wait" open={open} close={() => setOpen(false)}>
        <AllForm named={{ campaign: search["campaign"] || undefined, policy: search["policy"] || undefined, verdict: search["verdict"] || undefined }} close={() => setOpen(false)} approved={approved} />
      </Dialog>
    </>
  );
}

function AllForm({ named, close, approved }: { named: Pick<Choice, "campaign" | "policy" | "verdict">; close: () => void; approved: (count: number) => void }) {
  const [note, setNote] = useState("");
  const query = useApi<Rows<Approval>>("/approvals", { ...named, status: "pending", sort: "-id", limit: 1 });
  const done = (out: Decided) => {
    approved(out.decided);
    close();
  };
  const [approve, reject] = [useDecideAll(true, done), useDecideAll(false, close)];
  const busy = approve.isPending || reject.isPending;
  const filters = Object.entries(named).filter(([, value]) => value !== undefined);
  const choice = (): Choice => ({ ...(filters.length > 0 ? named : { all: true }), up_to: query.data?.rows[0]?.id, note: note.trim() || undefined });
  return (
    <Shown query={query}>
      {({ total }) => (
        <div className="stack">
          <p>
            {total === 0 ? "Nothing waits" : `${n(total)} ${total === 1 ? "waits" : "wait"}`}
            {filters.map(([name, value]) => (
              <span key={name}>
                {" "}
                of {name} <T mono>{value}</T>
              </span>
            ))}
            . What is asked from now on goes on waiting.
          </p>
          <Field label="Note">{(id) => <input id={id} value={note} maxLength={1000} onChange={(event) => setNote(event.target.value)} />}</Field>
          <div className="row end">
            <Act needs="operator" disabled={busy || total === 0} onClick={() => reject.mutate(choice())}>
              Reject all {n(total)}
            </Act>
            <Act needs="operator" className="main" disabled={busy || total === 0} onClick={() => approve.mutate(choice())}>
              Approve all {n(total)}
            </Act>
          </div>
        </div>
      )}
    </Shown>
  );
}

/** Where no watch acts by itself: that what was approved goes out with a push, and not before. */
function Unsent({ count, sent }: { count: number; sent: () => void }) {
  const settings = useApi<Settings>("/settings");
  if (count === 0 || settings.data?.live !== false) return null;
  return (
    <div className="notice info row" role="status" style={{ justifyContent: "space-between" }}>
      <p>{counted(count, "was", "were")} approved. No watch runs beside this console: nothing of it is on the devices until they are pushed.</p>
      <Push label="Push now" question="Bring the devices to what policy asks for?" detail={<p className="muted">What was approved goes out with it. Guards apply.</p>} then={sent} />
    </div>
  );
}

export function Approvals() {
  const [count, setCount] = useState(0);
  const approved = (more: number) => setCount((now) => now + more);
  const decide = useAct(({ row, yes }: { row: Approval; yes: boolean }) => api.post<Approval>(`/approvals/${row.id}/${yes ? "approve" : "reject"}`, {}), {
    done: (row) => `${words(row.status)}: ${row.title}`,
    touches: TOUCHES,
    then: (row) => approved(row.status === "approved" ? 1 : 0),
  });
  return (
    <div className="stack loose">
    <Unsent count={count} sent={() => setCount(0)} />
    <Card flush>
      <List<Approval>
        path="/approvals"
        caption="Approvals"
        columns={approvalColumns((row, yes) => decide.mutate({ row, yes }), decide.isPending)}
        rowId={(row) => String(row.id)}
        sort="-at"
        filters={[
          { name: "status", label: "State", options: ["pending", "approved", "rejected", "expired"] },
          { name: "campaign", label: "Campaign" },
          { name: "policy", label: "Policy" },
        ]}
        linked={["verdict"]}
        bulk={(ids, clear) => <Bulk ids={ids} clear={clear} approved={approved} />}
        tools={<DecideAll approved={approved} />}
        empty={
          <Empty title="Nothing waits for approval">
            Where a policy or a connector is in the mode <code>approve</code>, what it would do waits here until somebody decides or it expires.
          </Empty>
        }
      />
    </Card>
    </div>
  );
}

/** How much about a campaign waits for approval. */
export function Waiting({ campaign }: { campaign: string }) {
  const query = useApi<Rows<Approval>>("/approvals", { campaign, status: "pending", limit: 1 });
  const total = query.data?.total ?? 0;
  if (total === 0) return null;
  return (
    <p>
      <A href={to("/policies", { tab: "approvals", status: "pending", campaign })}>{counted(total, "waits", "wait")} for approval</A>
    </p>
  );
}
