export type Row = Record<string, unknown>;

/** A row whose objects are taken apart: `{"a": {"b": 1}}` has the column `a.b`, as in files of the API. */
export function flat(row: Row): Row {
  const out: Row = {};
  const put = (name: string, value: unknown) => {
    const fields = value !== null && typeof value === "object" && !Array.isArray(value) ? Object.entries(value) : [];
    if (fields.length === 0) out[name] = value;
    for (const [inner, one] of fields) put(`${name}.${inner}`, one);
  };
  for (const [name, value] of Object.entries(row)) put(name, value);
  return out;
}

const FORMULA = new Set([..."=+-@\r＝＋－＠"]);

/** A cell of CSV (RFC 4180), as the API writes it: text that a spreadsheet would take for a formula gets an apostrophe before it, for it may be an attacker's. */
export function cell(value: unknown): string {
  if (value === null || value === undefined) return "";
  if (typeof value === "boolean" || typeof value === "number") return String(value);
  const text = typeof value === "string" ? value : JSON.stringify(value);
  let marked = "";
  let begins = true;
  for (const letter of text) {
    if ((begins && FORMULA.has(letter)) || (marked === "" && letter === "\t")) marked += "'";
    begins = letter === ";" || letter === "\t" || (begins && letter === " " && marked !== "");
    marked += letter;
  }
  return /[,"\n\r]/.test(marked) ? `"${marked.replaceAll('"', '""')}"` : marked;
}

/** Rows as CSV: a column for each name that any of them has. */
export function csv(rows: Row[]): string {
  const all = rows.map(flat);
  const columns = [...new Set(all.flatMap((row) => Object.keys(row)))];
  const line = (cells: string[]) => `${cells.join(",")}\r\n`;
  return line(columns.map(cell)) + all.map((row) => line(columns.map((name) => cell(row[name])))).join("");
}

/** Rows as NDJSON: an object a line. */
export function ndjson(rows: Row[]): string {
  return rows.map((row) => `${JSON.stringify(row)}\n`).join("");
}

/** What a plan, or what came of one, says of each entry: a row for each, with its device. */
export function planRows(plan: unknown): Row[] {
  const parts = (of: unknown): Row[] => (Array.isArray(of) ? of.filter((one): one is Row => one !== null && typeof one === "object") : []);
  const answer = (plan ?? {}) as Row;
  const rows: Row[] = [];
  for (const one of [answer, ...parts(answer["undone"])]) {
    for (const device of parts(one["connectors"])) {
      for (const [change, of] of Object.entries(device)) rows.push(...parts(of).map((row) => ({ device: device["name"], change, ...flat(row) })));
    }
    rows.push(...parts(one["actions"]).map(({ connector, kind, ...row }) => ({ device: connector, change: kind, ...row })));
    rows.push(...parts(one["held"]).map((row) => ({ device: null, change: "held", ...flat(row) })));
  }
  return rows;
}
