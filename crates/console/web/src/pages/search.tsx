import { keepPreviousData, useInfiniteQuery } from "@tanstack/react-query";

import { api } from "../api/client";
import type { Page as Rows, SearchHit } from "../api/types";
import { n } from "../lib/format";
import { words } from "../lib/text";
import { A, pathTo, to, useUrl } from "../lib/url";
import { Exports } from "../ui/export";
import { Page } from "../ui/page";
import { Card, Empty, Shown } from "../ui/state";
import { Badge, T } from "../ui/text";

function hrefOf(hit: SearchHit): string {
  switch (hit.kind) {
    case "endpoint":
      return pathTo.endpoint(hit.id);
    case "host":
      return pathTo.host(hit.id);
    case "campaign":
      return pathTo.campaign(hit.id);
    case "verdict":
      return pathTo.actor(hit.id);
    case "finding":
      return pathTo.finding(hit.id);
    case "exchange":
      return pathTo.exchange(hit.id);
    case "sensitive":
      return to("/sensitive", { q: hit.title });
  }
}

export function SearchPage() {
  const { search, set } = useUrl();
  const q = search["q"] ?? "";
  const enabled = q.trim().length >= 3;
  const query = useInfiniteQuery({
    queryKey: ["search", q],
    queryFn: ({ signal, pageParam }) => api.get<Rows<SearchHit>>("/search", { q, limit: 50, cursor: pageParam || undefined }, signal),
    initialPageParam: "",
    getNextPageParam: (page) => page.next ?? undefined,
    enabled,
    placeholderData: keepPreviousData,
  });
  const rows = query.data?.pages.flatMap((page) => page.rows) ?? [];
  const last = query.data?.pages.at(-1);
  return (
    <Page title="Search" lead="Paths, hosts, addresses, agents, classes, rules, parameters, labels and owners, fingerprints of campaigns; accounts, sessions and keys that are actors, as outputs spell them; a stored exchange by its whole id.">
      <Card>
        <form
          role="search"
          aria-label="Everything, on this page"
          className="row"
          onSubmit={(event) => {
            event.preventDefault();
            set({ q: String(new FormData(event.currentTarget).get("q") ?? "") }, true);
          }}
        >
          <input key={q} name="q" type="search" aria-label="Words" defaultValue={q} minLength={3} size={40} />
          <button type="submit" className="btn main">
            Search
          </button>
        </form>
      </Card>
      {!enabled ? (
        <Card>
          <Empty title="Three characters or more">
            Press <kbd>/</kbd> on any page to search.
          </Empty>
        </Card>
      ) : (
        <Card
          title={
            <>
              Found for “<T>{q}</T>”
            </>
          }
          more={
            <span className="row">
              <Exports path="/search" params={{ q }} />
            </span>
          }
        >
          <Shown query={query}>
            {() =>
              rows.length === 0 ? (
                <Empty title="Nothing contains this">Raw account names and tokens are never kept: search for the hash that outputs show, or for the address.</Empty>
              ) : (
                <>
                <ul className="timeline">
                  {rows.map((hit) => (
                    <li key={hit.kind + hit.id}>
                      <span>
                        <Badge>{hit.kind === "verdict" ? "Actor" : words(hit.kind)}</Badge>
                      </span>
                      <span>
                        <A href={hrefOf(hit)}>
                          <T>{hit.title}</T>
                        </A>
                        <span className="sub muted" style={{ display: "block" }}>
                          <T>{hit.detail}</T>
                        </span>
                      </span>
                    </li>
                  ))}
                </ul>
                <div className="list-foot">
                  <span aria-live="polite">
                    {n(rows.length)} of {n(last?.total ?? rows.length)}
                    {last?.more ? " or more" : ""}
                  </span>
                  {query.hasNextPage ? (
                    <button type="button" className="btn" disabled={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>
                      {query.isFetchingNextPage ? "Loading…" : "Show more"}
                    </button>
                  ) : null}
                </div>
                </>
              )
            }
          </Shown>
        </Card>
      )}
    </Page>
  );
}
