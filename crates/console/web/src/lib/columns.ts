/** A column that may be shown or not. */
interface Choice {
  id: string;
  /** Only where it is asked for. */
  extra?: boolean;
}

type Shown = Record<string, boolean>;

/** Which columns are shown: those that the address names, or, where it names none that there is, those of the list's own choice. */
export function visibleOf(columns: Choice[], cols: string): Shown {
  const known = cols.split(",").filter((id) => columns.some((column) => column.id === id));
  const named = known.length === 0 ? null : new Set(known);
  return Object.fromEntries(columns.map((column, at) => [column.id, at === 0 || (named ? named.has(column.id) : !column.extra)]));
}

/** The same as the address has it; nothing where it is the list's own choice. */
export function colsOf(columns: Choice[], state: Shown): string | undefined {
  if (columns.every((column, at) => at === 0 || (state[column.id] !== false) === !column.extra)) return undefined;
  return columns.filter((column, at) => at === 0 || state[column.id] !== false).map((column) => column.id).join(",");
}
