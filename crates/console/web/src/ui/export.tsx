import type { Params } from "../api/client";
import { apiUrl, download, handOver } from "../api/client";
import type { Row } from "../lib/csv";
import { csv, ndjson } from "../lib/csv";
import { useAct } from "./act";
import { Icon } from "./icons";

/** All rows of a list as files. */
export function Exports({ path, params = {} }: { path: string; params?: Params }) {
  return (
    <>
      <a className="btn" href={apiUrl(path, { ...params, format: "csv" })} download title="All rows of this list, as CSV">
        <Icon name="download" /> CSV
      </a>
      <a className="btn" href={apiUrl(path, { ...params, format: "ndjson" })} download title="All rows of this list, one JSON object a line">
        NDJSON
      </a>
    </>
  );
}

/** Small: beside the head of a card or a table. */
function Buttons({ name, give, busy }: { name: string; give: (form: "csv" | "ndjson") => void; busy?: boolean }) {
  return (
    <span className="row nowrap">
      <button type="button" className="btn small" disabled={busy} aria-label={`CSV of ${name}`} title={`All rows of ${name}, as CSV`} onClick={() => give("csv")}>
        <Icon name="download" /> CSV
      </button>
      <button type="button" className="btn small" disabled={busy} aria-label={`NDJSON of ${name}`} title={`All rows of ${name}, one JSON object a line`} onClick={() => give("ndjson")}>
        NDJSON
      </button>
    </span>
  );
}

/** A table that the page has whole, as files: what each of its rows says, not how it is shown. */
export function RowExports({ name, rows }: { name: string; rows: () => Row[] }) {
  const give = (form: "csv" | "ndjson") => {
    const all = rows();
    const blob = form === "csv" ? new Blob([csv(all)], { type: "text/csv;charset=utf-8" }) : new Blob([ndjson(all)], { type: "application/x-ndjson" });
    handOver(blob, `${name.toLowerCase().replaceAll(/[^a-z0-9]+/g, "-")}.${form}`);
  };
  return <Buttons name={name} give={give} />;
}

/** What the API answers to a question with a body, as files. */
export function AskedExports({ name, path, body }: { name: string; path: string; body: unknown }) {
  const ask = useAct((form: "csv" | "ndjson") => download(`${path}?format=${form}`, `${name.toLowerCase().replaceAll(/[^a-z0-9]+/g, "-")}.${form}`, body));
  return <Buttons name={name} give={(form) => ask.mutate(form)} busy={ask.isPending} />;
}
