import { api } from "../api/client";
import type { IntelSource, IntelUpdate } from "../api/types";
import { n } from "../lib/format";
import { words } from "../lib/text";
import { Confirm, useAct } from "../ui/act";
import type { Column } from "../ui/list";
import { List } from "../ui/list";
import { Card, Empty } from "../ui/state";
import { Badge, T, Time } from "../ui/text";

const STALE_MS = 30 * 86_400_000;

function State({ row }: { row: IntelSource }) {
  if (row.fetched === null) return <Badge>{row.configured ? "not fetched yet" : "available"}</Badge>;
  const stale = Date.now() - Date.parse(row.fetched) > STALE_MS;
  return <Badge kind={stale ? "warn" : "ok"}>{stale ? "older than 30 days" : "installed"}</Badge>;
}

const columns: Column<IntelSource>[] = [
  { id: "name", name: "Source", sort: "name", wide: true, cell: (row) => (<><T>{row.name}</T><span className="sub"><T>{row.what}</T></span></>) },
  { id: "state", name: "State", cell: (row) => <State row={row} /> },
  { id: "entries", name: "Entries", sort: "-entries", num: true, cell: (row) => (row.entries === null ? "–" : n(row.entries)) },
  { id: "version", name: "Version", cell: (row) => <T>{row.version}</T> },
  { id: "fetched", name: "Fetched", sort: "-fetched", cell: (row) => <Time at={row.fetched} /> },
  { id: "licence", name: "Licence", cell: (row) => (<><T>{row.licence}</T>{row.configured && !row.accepted ? <span className="sub">not agreed to yet</span> : null}</>) },
];

/** What is known of addresses: the tables, how old they are, and fetching them anew. */
export function Intel() {
  const update = useAct(() => api.post<{ sources: IntelUpdate[] }>("/intel/update"), {
    done: (out) => out.sources.map((one) => `${one.name || "table"}: ${words(one.outcome)}`).join(", ") || "No source is configured",
    touches: ["intel"],
  });
  return (
    <Card
      title="Network intelligence"
      more={
        <Confirm
          needs="operator"
          label={update.isPending ? "Fetching…" : "Update"}
          disabled={update.isPending}
          question="Fetch the configured sources?"
          detail={<p className="muted">This server asks the package registry for those whose licences were agreed to with <code>sidetap intel update</code>. The next run uses what comes.</p>}
          yes="Fetch"
          act={() => update.mutate(undefined)}
        />
      }
      flush
    >
      <List<IntelSource> path="/intel" caption="Sources" columns={columns} rowId={(row) => row.name} sort="name" empty={<Empty title="No source is known" />} />
    </Card>
  );
}
