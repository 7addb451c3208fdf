import { keepPreviousData, useInfiniteQuery } from "@tanstack/react-query";
import type { ColumnDef, RowSelectionState, VisibilityState } from "@tanstack/react-table";
import { flexRender, getCoreRowModel, useReactTable } from "@tanstack/react-table";
import type { KeyboardEvent, ReactNode } from "react";
import { useEffect, useId, useMemo, useState } from "react";

import type { Params } from "../api/client";
import { api } from "../api/client";
import type { Page } from "../api/types";
import { colsOf, visibleOf } from "../lib/columns";
import { n } from "../lib/format";
import { plain } from "../lib/text";
import { plainClick, useUrl } from "../lib/url";
import { Exports } from "./export";
import { Icon } from "./icons";
import { Empty, Failed, Loading } from "./state";

export interface Column<T> {
  id: string;
  name: string;
  cell: (row: T) => ReactNode;
  /** The field the API sorts by; a `-` before it: greatest first when it is first pressed. */
  sort?: string;
  num?: boolean;
  wide?: boolean;
  /** Only shown when it is asked for. */
  extra?: boolean;
}

export interface Filter {
  name: string;
  label: string;
  options?: readonly (string | { value: string; name: string })[];
  type?: "text" | "number";
}

export interface ListProps<T> {
  /** Path of the API, and key under which it is kept. */
  path: string;
  caption: string;
  columns: Column<T>[];
  rowId: (row: T) => string;
  sort: string;
  filters?: Filter[];
  /** Filters that have no field of their own; a link may still set them, and they are shown. */
  linked?: string[];
  fixed?: Params;
  href?: (row: T) => string | null;
  empty?: ReactNode;
  search?: string;
  /** Without a field to filter: a list that is always short. */
  bare?: boolean;
  /** Put before names in the address, where a page has two lists. */
  prefix?: string;
  size?: number;
  bulk?: (ids: string[], clear: () => void) => ReactNode;
  tools?: ReactNode;
}

function value(option: string | { value: string; name: string }) {
  return typeof option === "string" ? { value: option, name: option } : option;
}

/** A field that writes to the address a moment after the last key. */
export function TextFilter({ label, text, type, set }: { label: string; text: string; type: "text" | "number" | "search"; set: (text: string) => void }) {
  const id = useId();
  const [draft, setDraft] = useState(text);
  useEffect(() => setDraft(text), [text]);
  useEffect(() => {
    if (draft === text) return;
    const timer = window.setTimeout(() => set(draft), 300);
    return () => window.clearTimeout(timer);
  }, [draft, text, set]);
  return (
    <div className={`field${type === "search" ? " grow" : ""}`}>
      <label htmlFor={id}>{label}</label>
      <input id={id} type={type} size={type === "number" ? 6 : 14} value={draft} onChange={(event) => setDraft(event.target.value)} />
    </div>
  );
}

function SelectFilter({ filter, text, set }: { filter: Filter; text: string; set: (text: string) => void }) {
  const id = useId();
  const options = (filter.options ?? []).map(value);
  const known = text === "" || options.some((option) => option.value === text);
  return (
    <div className="field">
      <label htmlFor={id}>{filter.label}</label>
      <select id={id} value={text} onChange={(event) => set(event.target.value)}>
        <option value="">Any</option>
        {options.map((option) => (
          <option key={option.value} value={option.value}>
            {plain(option.name)}
          </option>
        ))}
        {known ? null : <option value={text}>{plain(text)}</option>}
      </select>
    </div>
  );
}

/** Moves the focus over the links of rows with j and k, or the arrows. */
function move(event: KeyboardEvent<HTMLTableSectionElement>) {
  const step = event.key === "j" || event.key === "ArrowDown" ? 1 : event.key === "k" || event.key === "ArrowUp" ? -1 : 0;
  if (step === 0 || event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement) return;
  const row = (event.target as HTMLElement).closest("tr");
  const next = step > 0 ? row?.nextElementSibling : row?.previousElementSibling;
  const link = next?.querySelector<HTMLElement>("a, button");
  if (link) {
    event.preventDefault();
    link.focus();
  }
}

/** A list of the API: filter, sort, page, export; all of it in the address. */
export function List<T>(props: ListProps<T>) {
  const { path, columns, filters = [], linked = [], fixed = {}, prefix = "", size = 50 } = props;
  const { search, set, go } = useUrl();
  const at = (name: string) => search[prefix + name] ?? "";
  const sort = at("sort") || props.sort;
  const names = ["q", ...filters.map((filter) => filter.name), ...linked];
  // The list comes in its own order where no other was asked for.
  const params: Params = { ...fixed, sort: at("sort") || undefined };
  for (const name of names) if (at(name)) params[name] = at(name);
  const query = useInfiniteQuery({
    queryKey: [path.split("/")[1] ?? path, "list", path, params, size],
    queryFn: ({ pageParam, signal }) => api.get<Page<T>>(path, { ...params, limit: size, cursor: pageParam }, signal),
    initialPageParam: "",
    getNextPageParam: (last) => last.next ?? undefined,
    placeholderData: keepPreviousData,
  });
  const rows = useMemo(() => query.data?.pages.flatMap((page) => page.rows) ?? [], [query.data]);
  const total = query.data?.pages[0]?.total;
  const cols = at("cols");
  const visible = useMemo<VisibilityState>(() => visibleOf(columns, cols), [columns, cols]);
  const setVisible = (state: VisibilityState) => set({ [`${prefix}cols`]: colsOf(columns, state) });
  const [chosen, setChosen] = useState<RowSelectionState>({});
  const defs = useMemo<ColumnDef<T>[]>(
    () => columns.map((column) => ({ id: column.id, header: column.name, cell: ({ row }) => column.cell(row.original), meta: column })),
    [columns],
  );
  const table = useReactTable({
    data: rows,
    columns: defs,
    getCoreRowModel: getCoreRowModel(),
    getRowId: props.rowId,
    manualSorting: true,
    state: { columnVisibility: visible, rowSelection: chosen },
    onRowSelectionChange: setChosen,
  });
  const filtered = names.some((name) => at(name) !== "");
  const clear = () => set(Object.fromEntries(names.map((name) => [prefix + name, undefined])));
  const chips = linked.filter((name) => at(name) !== "");
  const picked = Object.keys(chosen).filter((id) => chosen[id]);
  const byField = (field: string) => sort.replace(/^-/, "") === field.replace(/^-/, "");

  return (
    <div>
      {props.bare ? null : (
      <div className="tools" role="search" aria-label={`Filter ${props.caption.toLowerCase()}`}>
        <TextFilter label={props.search ?? "Contains"} type="search" text={at("q")} set={(text) => set({ [`${prefix}q`]: text })} />
        {filters.map((filter) =>
          filter.options ? (
            <SelectFilter key={filter.name} filter={filter} text={at(filter.name)} set={(text) => set({ [prefix + filter.name]: text }, true)} />
          ) : (
            <TextFilter key={filter.name} label={filter.label} type={filter.type ?? "text"} text={at(filter.name)} set={(text) => set({ [prefix + filter.name]: text })} />
          ),
        )}
        {chips.map((name) => (
          <button key={name} type="button" className="btn" onClick={() => set({ [prefix + name]: undefined })} aria-label={`Without the filter ${name}`}>
            {name}: {plain(at(name))} ✕
          </button>
        ))}
        {filtered ? (
          <button type="button" className="btn quiet" onClick={clear}>
            Clear
          </button>
        ) : null}
        <div className="end">
          {props.tools}
          {columns.length > 4 ? <Columns columns={columns} visible={visible} set={setVisible} /> : null}
          <Exports path={path} params={params} />
        </div>
      </div>
      )}
      {props.bulk && picked.length > 0 ? <div className="tools">{props.bulk(picked, () => setChosen({}))}</div> : null}
      {query.isPending ? (
        <div className="state">
          <Loading lines={6} />
        </div>
      ) : query.isError ? (
        <Failed error={query.error} retry={() => void query.refetch()} />
      ) : rows.length === 0 ? (
        filtered ? (
          <Empty title="Nothing fits these filters">
            <button type="button" className="btn" onClick={clear}>
              Clear the filters
            </button>
          </Empty>
        ) : (
          (props.empty ?? <Empty title="Nothing here yet" />)
        )
      ) : (
        <div className="table-wrap" tabIndex={0} role="region" aria-label={props.caption}>
          <table aria-busy={query.isFetching}>
            <caption className="sr">{props.caption}</caption>
            <thead>
              <tr>
                {props.bulk ? (
                  <th scope="col">
                    <input type="checkbox" aria-label="Choose all rows shown" checked={table.getIsAllRowsSelected()} onChange={table.getToggleAllRowsSelectedHandler()} />
                  </th>
                ) : null}
                {table.getFlatHeaders().map((header) => {
                  const column = header.column.columnDef.meta as Column<T>;
                  const field = column.sort?.replace(/^-/, "");
                  const down = sort.startsWith("-");
                  const on = field !== undefined && byField(field);
                  const next = on ? (down ? field : `-${field}`) : column.sort;
                  return (
                    <th key={header.id} scope="col" className={column.num ? "num" : ""} aria-sort={on ? (down ? "descending" : "ascending") : undefined}>
                      {field ? (
                        <button type="button" onClick={() => set({ [`${prefix}sort`]: next })}>
                          {column.name}
                          <span aria-hidden="true">{on ? (down ? "↓" : "↑") : ""}</span>
                        </button>
                      ) : (
                        column.name
                      )}
                    </th>
                  );
                })}
              </tr>
            </thead>
            <tbody onKeyDown={move}>
              {table.getRowModel().rows.map((row) => {
                const href = props.href?.(row.original) ?? null;
                return (
                  <tr
                    key={row.id}
                    className={href ? "link" : ""}
                    onClick={(event) => {
                      const inside = (event.target as HTMLElement).closest("a, button, input, select, label");
                      if (!href || inside || !plainClick(event) || String(window.getSelection())) return;
                      go(href);
                    }}
                  >
                    {props.bulk ? (
                      <td>
                        <input type="checkbox" aria-label="Choose this row" checked={row.getIsSelected()} onChange={row.getToggleSelectedHandler()} />
                      </td>
                    ) : null}
                    {row.getVisibleCells().map((cell) => {
                      const column = cell.column.columnDef.meta as Column<T>;
                      return (
                        <td key={cell.id} className={`${column.num ? "num" : ""}${column.wide ? " wide" : ""}`}>
                          {flexRender(cell.column.columnDef.cell, cell.getContext())}
                        </td>
                      );
                    })}
                  </tr>
                );
              })}
            </tbody>
          </table>
        </div>
      )}
      {rows.length > 0 ? (
        <div className="list-foot">
          <span aria-live="polite">
            {n(rows.length)} of {n(total ?? rows.length)}
            {query.data?.pages[0]?.more ? " or more" : ""}
          </span>
          {props.bare ? (
            <span className="row">
              <Exports path={path} params={params} />
            </span>
          ) : null}
          {query.hasNextPage ? (
            <button type="button" className="btn" disabled={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>
              {query.isFetchingNextPage ? "Loading…" : "Show more"}
            </button>
          ) : null}
        </div>
      ) : null}
    </div>
  );
}

function Columns<T>({ columns, visible, set }: { columns: Column<T>[]; visible: VisibilityState; set: (state: VisibilityState) => void }) {
  const [open, setOpen] = useState(false);
  return (
    <div
      className="menu-box"
      onKeyDown={(event) => event.key === "Escape" && setOpen(false)}
      onBlur={(event) => event.currentTarget.contains(event.relatedTarget) || setOpen(false)}
    >
      <button type="button" className="btn" aria-expanded={open} onClick={() => setOpen(!open)} title="Which columns are shown">
        <Icon name="columns" /> Columns
      </button>
      {open ? (
        <div className="menu-list" tabIndex={-1}>
          {columns.slice(1).map((column) => (
            <label key={column.id} className="check">
              <input type="checkbox" checked={visible[column.id] !== false} onChange={(event) => set({ ...visible, [column.id]: event.target.checked })} />
              {column.name}
            </label>
          ))}
        </div>
      ) : null}
    </div>
  );
}
