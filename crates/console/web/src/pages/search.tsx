import type { SearchHit } from "../api/types";
import { words } from "../lib/text";
import { useApi } from "../lib/use";
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
    case "sensitive":
      return to("/sensitive", { q: hit.title });
  }
}

export function SearchPage() {
  const { search, set } = useUrl();
  const q = search["q"] ?? "";
  const query = useApi<{ rows: SearchHit[] }>("/search", { q, limit: 50 }, { enabled: q.trim().length >= 3, keep: true });
  return (
    <Page title="Search" lead="Paths, hosts, addresses, accounts as outputs spell them, agents, classes, rules, parameters.">
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
      {q.trim().length < 3 ? (
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
            {(data) =>
              data.rows.length === 0 ? (
                <Empty title="Nothing contains this">Raw account names and tokens are never kept: search for the hash that outputs show, or for the address.</Empty>
              ) : (
                <ul className="timeline">
                  {data.rows.map((hit) => (
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
              )
            }
          </Shown>
        </Card>
      )}
    </Page>
  );
}
