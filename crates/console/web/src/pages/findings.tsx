import { useState } from "react";

import { api } from "../api/client";
import type { FindingItem, FindingSummary } from "../api/types";
import { SEVERITIES } from "../api/types";
import { n } from "../lib/format";
import { words } from "../lib/text";
import { useApi } from "../lib/use";
import { A, pathTo, to, useUrl } from "../lib/url";
import { Act, Dialog, useAct } from "../ui/act";
import { List } from "../ui/list";
import { Page } from "../ui/page";
import { Card, Empty } from "../ui/state";
import { findingColumns } from "./columns";
import type { Work } from "./finding-work";
import { WorkForm } from "./finding-work";

export function FindingsPage() {
  const summary = useApi<FindingSummary>("/findings/summary");
  const { search } = useUrl();
  const by = summary.data?.by_severity ?? {};
  return (
    <Page title="Findings" lead="What is wrong with APIs, and what was tried on them: to be fixed, accepted for a time, or taught to be no finding.">
      {summary.data ? (
        <div className="tiles">
          {SEVERITIES.map((severity) => (
            <A
              key={severity}
              href={to("/findings", { ...search, severity: search["severity"] === severity ? undefined : severity })}
              className={`tile ${severity === "critical" || severity === "high" ? (by[severity] ? "malicious" : "") : ""}`}
              aria-current={search["severity"] === severity ? "true" : undefined}
            >
              <b>{n(by[severity] ?? 0)}</b>
              <span>{severity}</span>
            </A>
          ))}
        </div>
      ) : null}
      <Card flush>
        <List<FindingItem>
          path="/findings"
          caption="Findings"
          columns={findingColumns}
          rowId={(row) => row.id}
          sort="-severity"
          href={(row) => pathTo.finding(row.id)}
          filters={[
            { name: "severity", label: "Severity", options: SEVERITIES },
            { name: "kind", label: "Kind", options: ["risk", "conformance", "exploit", "anomaly"] },
            { name: "certainty", label: "Certainty", options: ["observed", "suspected"] },
            {
              name: "status",
              label: "Work",
              options: [
                { value: "open", name: "Open" },
                { value: "assigned", name: "Assigned" },
                { value: "accepted", name: "Accepted" },
                { value: "false-positive", name: "False positive" },
                { value: "fixed", name: "Fixed" },
                { value: "any", name: "All, closed ones too" },
              ],
            },
            { name: "host", label: "Host" },
            { name: "assignee", label: "Assignee" },
          ]}
          linked={["rule", "owasp", "endpoint", "ip", "min_count", "seen_after", "seen_before"]}
          bulk={(ids, clear) => <Bulk ids={ids} clear={clear} />}
          empty={<Empty title="Nothing to do">No open finding. Choose “All, closed ones too” under Work to see what was dealt with.</Empty>}
        />
      </Card>
    </Page>
  );
}

function Bulk({ ids, clear }: { ids: string[]; clear: () => void }) {
  const [open, setOpen] = useState(false);
  const save = useAct((work: Work) => api.post<{ changed: number }>("/findings/bulk", { ids, ...work }), {
    done: (out) => `${n(out.changed)} findings changed`,
    touches: ["findings", "overview", "endpoints"],
    then: () => {
      setOpen(false);
      clear();
    },
  });
  return (
    <>
      <span>{n(ids.length)} chosen</span>
      <Act needs="analyst" className="main" onClick={() => setOpen(true)}>
        Change their work state
      </Act>
      <button type="button" className="btn quiet" onClick={clear}>
        Choose none
      </button>
      <Dialog title={`${words("change")} ${n(ids.length)} findings`} open={open} close={() => setOpen(false)}>
        <WorkForm save={(work) => save.mutate(work)} busy={save.isPending} scope={false} />
      </Dialog>
    </>
  );
}
