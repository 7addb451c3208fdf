import type { ReactNode } from "react";

import type { Params } from "../api/client";
import type { ActionRow } from "../api/types";
import { words } from "../lib/text";
import { A, pathTo } from "../lib/url";
import type { Column } from "../ui/list";
import { List } from "../ui/list";
import { Card } from "../ui/state";
import { T, Time, Word } from "../ui/text";

const columns: Column<ActionRow>[] = [
  { id: "at", name: "When", sort: "-at", cell: (row) => <Time at={row.at} /> },
  { id: "outcome", name: "Outcome", cell: (row) => <Word id={row.outcome} /> },
  { id: "kind", name: "What", cell: (row) => `${words(row.kind)} (${row.mode})` },
  { id: "connector", name: "Device", cell: (row) => <T>{row.connector}</T> },
  { id: "subject", name: "Subject", wide: true, cell: (row) => (row.verdict ? <A href={pathTo.actor(row.verdict)}><T mono>{row.subject}</T></A> : <T mono>{row.subject}</T>) },
  { id: "response", name: "Response", cell: (row) => words(row.response) },
  { id: "why", name: "Why", wide: true, cell: (row) => <T>{row.why ?? ""}</T> },
  { id: "answer", name: "It answered", wide: true, cell: (row) => <T>{row.answer}</T> },
  { id: "actor", name: "By", cell: (row) => <span className="who"><T>{row.actor}</T></span> },
];

/** What devices were asked to do: all of it, or what one campaign or verdict was behind. */
export function Actions({ fixed, linked, empty }: { fixed?: Params; linked?: string[]; empty: ReactNode }) {
  return (
    <Card flush>
      <List<ActionRow>
        path="/actions"
        caption="Actions"
        columns={columns}
        rowId={(row) => String(row.seq ?? `${row.at} ${row.connector} ${row.subject}`)}
        sort="-at"
        fixed={fixed}
        filters={[
          { name: "outcome", label: "Outcome", options: ["planned", "done", "refused", "failed"] },
          { name: "kind", label: "What", options: ["add", "refresh", "remove", "undo", "push"] },
          { name: "connector", label: "Device" },
          { name: "mode", label: "Mode", options: ["dry-run", "enforce"] },
        ]}
        linked={linked}
        empty={empty}
      />
    </Card>
  );
}
