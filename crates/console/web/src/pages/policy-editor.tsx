import { useQuery } from "@tanstack/react-query";
import { useEffect, useMemo, useRef, useState } from "react";

import { ApiError, api } from "../api/client";
import type { Policies, PolicyCheck, PolicyError, Simulation, Subject } from "../api/types";
import { counted, n } from "../lib/format";
import { words } from "../lib/text";
import { A, pathTo, to, useUrl } from "../lib/url";
import { Act, Dialog, Field, messageOf, useAct, useSay, useSession } from "../ui/act";
import { AskedExports, RowExports } from "../ui/export";
import { Card, Empty } from "../ui/state";
import { Badge, T } from "../ui/text";
import { dropDraft, dropWritten, joined, keepWritten, readDraft, readWritten, writtenKey } from "./draft";

const START = `version: 1
extends: default        # own rules first, then the built-in ones
rules:
  - id: my-rule
    description: What it is for.
    priority: 10        # lower first
    when: intent == "malicious" && class == "credential-stuffing"
    response: block
    ttl: 1h
`;

/** The policy as text: checked while it is written, simulated before it is saved. */
export function Editor({ data }: { data: Policies }) {
  const { search, set } = useUrl();
  const key = writtenKey(useSession().user.name, data.path);
  const saved = data.text ?? START;
  // What was written and not saved outlives this page and the session; a suggestion comes into it.
  const [begun] = useState(() => {
    const [drawn, written] = [search["draft"] === "suggestion" ? readDraft() : null, readWritten(key)];
    const under = written?.text ?? data.text;
    const suggestion = drawn !== null && under !== null ? joined(under, drawn) : drawn;
    return { suggestion, written, version: written?.version ?? data.version };
  });
  const suggestion = begun.suggestion;
  const [text, setText] = useState(suggestion ?? begun.written?.text ?? saved);
  const [version, setVersion] = useState(begun.version);
  const write = (next: string, from = version) => {
    setText(next);
    setVersion(from);
    if (next === saved) dropWritten(key);
    else keepWritten(key, { text: next, version: from });
  };
  useEffect(() => {
    if (begun.suggestion === null) return;
    keepWritten(key, { text: begun.suggestion, version: begun.version });
    dropDraft();
  }, [begun, key]);
  const [settled, setSettled] = useState(text);
  const [tried, setTried] = useState<{ text: string; result: Simulation } | null>(null);
  const [saving, setSaving] = useState(false);
  const area = useRef<HTMLTextAreaElement>(null);
  const say = useSay();
  useEffect(() => {
    const timer = window.setTimeout(() => setSettled(text), 400);
    return () => window.clearTimeout(timer);
  }, [text]);
  const check = useQuery({
    queryKey: ["policy-check", settled],
    queryFn: () => api.post<PolicyCheck>("/policies/check", { text: settled }),
    staleTime: Infinity,
    retry: false,
  });
  const simulate = useAct((what: string) => api.post<Simulation>("/policies/simulate", { text: what }), {
    then: (result) => setTried({ text, result }),
  });
  const save = useAct((comment: string) => api.put<{ version: number }>("/policies", { text, comment, version }), {
    done: (out) => `Saved as version ${out.version}`,
    touches: ["policies", "verdicts", "approvals"],
    then: () => {
      setSaving(false);
      dropDraft();
      dropWritten(key);
      set({ draft: undefined });
    },
  });
  const errors = check.data?.errors ?? [];
  const goTo = (error: PolicyError) => {
    const box = area.current;
    if (!box || error.line === null) return;
    const lines = text.split("\n");
    const start = lines.slice(0, error.line - 1).reduce((sum, line) => sum + line.length + 1, 0) + Math.max(0, (error.column ?? 1) - 1);
    box.focus();
    box.setSelectionRange(start, start + 1);
  };
  const ready = check.data?.ok === true && settled === text;
  const fresh = tried !== null && tried.text === text;
  return (
    <div className="grid side">
      <div className="stack loose">
        <Card
          title={data.path ? `Policy in ${data.path}` : "Own policy"}
          more={
            <span className="row">
              <button type="button" className="btn quiet" onClick={() => { write(saved, data.version); dropDraft(); set({ draft: undefined }); }} disabled={text === saved}>
                Back to what is saved
              </button>
            </span>
          }
        >
          <div className="stack">
            {suggestion ? <p className="notice info">This is the policy that a campaign's page suggested. Nothing is saved yet: simulate it, then save it.</p> : null}
            {begun.written !== null && suggestion === null && text !== saved && version === data.version ? <p className="notice info">This is what you wrote before and did not save.</p> : null}
            {version !== data.version ? (
              <div className="notice warn">
                <p>
                  This was begun with version {version}; {data.version} is saved meanwhile (see <A href={to("/policies", { tab: "versions" })}>Versions</A>), and would be written over. Take over what it changed.
                </p>
                <button type="button" className="btn small" onClick={() => write(text, data.version)}>
                  Go on from version {data.version}
                </button>
              </div>
            ) : null}
            {data.editable ? null : <p className="notice warn">This server has no policy file to save to: name one as <code>path</code> under <code>[policy]</code> in its configuration and start it again. Checking and simulating work.</p>}
            <label className="sr" htmlFor="policy-text">
              The policy as YAML
            </label>
            <textarea
              id="policy-text"
              ref={area}
              className="code"
              rows={22}
              spellCheck={false}
              value={text}
              aria-describedby="policy-check"
              aria-invalid={errors.length > 0}
              onChange={(event) => write(event.target.value)}
            />
            <div id="policy-check" aria-live="polite">
              {check.isError ? (
                <p className="notice bad">{messageOf(check.error)}</p>
              ) : errors.length > 0 ? (
                <ul className="stack">
                  {errors.map((error, at) => (
                    <li key={at} className="notice bad">
                      {error.line === null ? null : (
                        <button type="button" className="btn small" onClick={() => goTo(error)}>
                          line {error.line}
                          {error.column === null ? "" : `, column ${error.column}`}
                        </button>
                      )}{" "}
                      <T>{error.message}</T>
                      {error.hint ? (
                        <p className="muted">
                          <T>{error.hint}</T>
                        </p>
                      ) : null}
                    </li>
                  ))}
                </ul>
              ) : ready ? (
                <p>
                  <Badge kind="ok">valid</Badge> {n(check.data?.rules)} {check.data?.rules === 1 ? "rule" : "rules"}
                </p>
              ) : (
                <p className="muted">Checking…</p>
              )}
            </div>
            <div className="row end">
              <Act needs="analyst" onClick={() => simulate.mutate(text)} disabled={!ready || simulate.isPending}>
                {simulate.isPending ? "Simulating…" : "Simulate on stored traffic"}
              </Act>
              <Act
                needs="operator"
                className="main"
                disabled={!ready || !data.editable || text === data.text || version !== data.version}
                onClick={() => (fresh ? setSaving(true) : say("bad", "Simulate it first: what it would do is part of the decision."))}
              >
                Save…
              </Act>
            </div>
          </div>
        </Card>
        {tried ? <Effect result={tried.result} text={tried.text} stale={!fresh} /> : null}
      </div>
      <FieldsCard data={data} />
      <Dialog title="Save this policy?" open={saving} close={() => setSaving(false)}>
        <SaveForm result={tried?.result} busy={save.isPending} error={save.error} save={(comment) => save.mutate(comment)} />
      </Dialog>
    </div>
  );
}

function SaveForm({ result, busy, error, save }: { result: Simulation | undefined; busy: boolean; error: unknown; save: (comment: string) => void }) {
  const convicted = Object.entries(result?.responses ?? {}).reduce((sum, [name, row]) => (["none", "alert", "log", "tag"].includes(name) ? sum : sum + row.honest_requests), 0);
  const honest = Math.max(convicted, result?.requests.would.good.hit ?? 0);
  return (
    <form
      className="stack"
      onSubmit={(event) => {
        event.preventDefault();
        save(String(new FormData(event.currentTarget).get("comment") ?? "").trim());
      }}
    >
      {result ? (
        <p>
          It changes what is done about {n(result.changed_total)} of {counted(result.verdicts, "verdict")}, and acts on {counted(result.requests.would.malicious.hit, "malicious request")} stored (now {n(result.requests.was.malicious.hit)}).{" "}
          {honest > 0 ? <Badge kind="bad">{counted(honest, "honest request")} would be acted against</Badge> : <Badge kind="ok">no honest request is acted against</Badge>}
        </p>
      ) : null}
      <Field label="Why">{(id) => <input id={id} name="comment" required placeholder="What it is for" />}</Field>
      {error instanceof ApiError ? <p className="notice bad">{messageOf(error)}</p> : null}
      <div className="row end">
        <button type="submit" className="btn main" disabled={busy}>
          Save
        </button>
      </div>
    </form>
  );
}

function subject(of: string | Subject): string {
  return typeof of === "string" ? of : of.value;
}

/** What it would have done to what was stored. */
function Effect({ result, text, stale }: { result: Simulation; text: string; stale: boolean }) {
  const rows = useMemo(() => Object.entries(result.responses).sort((a, b) => b[1].requests - a[1].requests), [result.responses]);
  return (
    <Card
      title="What it would have done"
      more={
        <span className="row">
          {stale ? <Badge kind="warn">the text has changed since</Badge> : <span className="muted">{counted(result.verdicts, "stored verdict")}</span>}
          <RowExports name="Effect by response" rows={() => rows.map(([response, row]) => ({ response, ...row }))} />
        </span>
      }
      flush
      id="simulation"
    >
      <div className="table-wrap" tabIndex={0} role="region" aria-label="Effect by response">
        <table>
          <thead>
            <tr>
              <th scope="col">Response</th>
              <th scope="col" className="num">
                Verdicts
              </th>
              <th scope="col" className="num">
                Requests
              </th>
              <th scope="col" className="num">
                Malicious
              </th>
              <th scope="col" className="num">
                Honest
              </th>
            </tr>
          </thead>
          <tbody>
            {rows.map(([name, row]) => (
              <tr key={name}>
                <td>{words(name)}</td>
                <td className="num">{n(row.verdicts)}</td>
                <td className="num">{n(row.requests)}</td>
                <td className="num">{n(row.malicious_requests)}</td>
                <td className="num">{row.honest_requests > 0 && !["none", "alert", "log"].includes(name) ? <Badge kind="bad">{n(row.honest_requests)}</Badge> : n(row.honest_requests)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <div className="stack loose" style={{ padding: "var(--s4)" }}>
        {result.held.length > 0 ? (
          <div className="stack">
            <div className="row">
              <h3>Held by guards</h3>
              <RowExports name="Held by guards" rows={() => result.held.map((one) => ({ ...one }))} />
            </div>
            <ul>
              {result.held.map((one) => (
                <li key={one.why}>
                  {n(one.verdicts)}: <T>{one.why}</T>
                </li>
              ))}
            </ul>
          </div>
        ) : null}
        <div className="stack">
          <h3>
            {result.changed_total === 0
              ? sameRequests(result)
                ? "Nothing changes against the present policy"
                : "No verdict changes against the present policy, what is done with requests does"
              : `${counted(result.changed_total, "verdict")} ${result.changed_total === 1 ? "changes" : "change"} against the present policy`}
          </h3>
          <RequestsTable result={result} />
          {result.changed.length > 0 ? (
            <div className="row">
              <span className="muted">{result.changed.length < result.changed_total ? `The first ${n(result.changed.length)} of ${n(result.changed_total)}; a file has all.` : "Verdicts that change"}</span>
              <AskedExports name="Changed verdicts" path="/policies/simulate" body={{ text }} />
            </div>
          ) : null}
          {result.changed.length > 0 ? (
            <div className="table-wrap" tabIndex={0} role="region" aria-label="Verdicts that change" style={{ maxHeight: "20rem", overflowY: "auto" }}>
              <table>
                <thead>
                  <tr>
                    <th scope="col">Actor</th>
                    <th scope="col">Was</th>
                    <th scope="col">Would be</th>
                    <th scope="col">Rule</th>
                  </tr>
                </thead>
                <tbody>
                  {result.changed.map((row) => (
                    <tr key={row.verdict}>
                      <td>
                        <A href={pathTo.actor(row.verdict)}>
                          <T mono>{subject(row.subject)}</T>
                        </A>
                      </td>
                      <td>{words(row.was)}</td>
                      <td>{words(row.would)}</td>
                      <td>
                        <T>{row.rule}</T>
                      </td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
          ) : null}
        </div>
        {result.by_rule.length > 0 ? (
          <details>
            <summary>By rule</summary>
            <RowExports name="Effect by rule" rows={() => result.by_rule.map((row) => ({ ...row }))} />
            <div className="table-wrap" tabIndex={0} role="region" aria-label="Effect by rule">
              <table>
                <thead>
                  <tr>
                    <th scope="col">Rule</th>
                    <th scope="col">Response</th>
                    <th scope="col" className="num">
                      Verdicts
                    </th>
                    <th scope="col" className="num">
                      Requests
                    </th>
                  </tr>
                </thead>
                <tbody>
                  {result.by_rule.map((row) => (
                    <tr key={`${row.rule} ${row.response}`}>
                      <td>
                        <T>{row.rule}</T>
                        {row.held ? <span className="muted small"> held by guard {row.held}</span> : null}
                      </td>
                      <td>{words(row.response)}</td>
                      <td className="num">{n(row.verdicts)}</td>
                      <td className="num">{n(row.requests)}</td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
          </details>
        ) : null}
      </div>
    </Card>
  );
}

function sameRequests({ requests: { was, would } }: Simulation): boolean {
  return (["malicious", "suspicious", "good"] as const).every((who) => was[who].hit === would[who].hit);
}

/** Stored requests that would be stopped or slowed, rules over requests included. */
function RequestsTable({ result: { requests } }: { result: Simulation }) {
  const rows = [
    { who: "malicious", name: "Malicious" },
    { who: "suspicious", name: "Suspicious" },
    { who: "good", name: "Honest" },
  ] as const;
  const file = () => rows.map(({ who }) => ({ who, requests: requests.would[who].requests, now: requests.was[who].hit, would: requests.would[who].hit }));
  return (
    <div className="stack">
    <div className="row">
      <RowExports name="Stored requests by who sent them" rows={file} />
    </div>
    <div className="table-wrap" tabIndex={0} role="region" aria-label="Stored requests that are stopped or slowed">
      <table>
        <thead>
          <tr>
            <th scope="col">Stored requests</th>
            <th scope="col" className="num">
              All
            </th>
            <th scope="col" className="num">
              Stopped or slowed now
            </th>
            <th scope="col" className="num">
              Would be
            </th>
          </tr>
        </thead>
        <tbody>
          {rows.map(({ who, name }) => (
            <tr key={who}>
              <td>{name}</td>
              <td className="num">{n(requests.would[who].requests)}</td>
              <td className="num">{n(requests.was[who].hit)}</td>
              <td className="num">{who === "good" && requests.would.good.hit > 0 ? <Badge kind="bad">{n(requests.would.good.hit)}</Badge> : n(requests.would[who].hit)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
    </div>
  );
}

function FieldsCard({ data }: { data: Policies }) {
  return (
    <Card title="Fields for conditions">
      {data.fields.length === 0 ? (
        <Empty title="No fields are documented" />
      ) : (
        <dl className="stack" style={{ maxHeight: "44rem", overflowY: "auto" }} tabIndex={0} aria-label="Fields">
          {data.fields.map((field) => (
            <div key={field.name}>
              <dt>
                <code>{field.name}</code> <span className="muted small">{field.type}</span>
              </dt>
              <dd className="muted small">{field.description}</dd>
            </div>
          ))}
        </dl>
      )}
    </Card>
  );
}
