import type { UseQueryResult } from "@tanstack/react-query";
import type { ReactNode } from "react";

import { ApiError } from "../api/client";
import { sentence } from "../lib/text";

export function Empty({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <div className="state">
      <strong>{title}</strong>
      {children ? <p>{children}</p> : null}
    </div>
  );
}

export function Loading({ lines = 4 }: { lines?: number }) {
  return (
    <div className="stack" role="status" aria-label="Loading">
      {Array.from({ length: lines }, (_, at) => (
        <span key={at} className="skeleton" style={{ width: `${90 - ((at * 17) % 40)}%` }} />
      ))}
    </div>
  );
}

const ADVICE: Record<string, string> = {
  role: "Your role does not reach this far. An administrator can change that under Settings.",
  "bad-query": "Change or clear what is asked for.",
  "not-found": "It may have been forgotten, merged with another, or the link may be mistyped.",
  "not-available": "This server cannot do that: it may be serving a stored run without devices.",
  "locked-out": "Too many wrong passwords. It opens again by itself.",
  conflict: "Somebody else changed it in between. Reload and look at what is there now.",
};

export function Failed({ error, retry }: { error: unknown; retry?: () => void }) {
  const problem = error instanceof ApiError ? error.problem : { title: "Something went wrong in the page", detail: String(error), status: -1, type: "" };
  const kind = problem.type.split(":").pop() ?? "";
  // Asking the same again would be answered the same.
  const again = kind === "bad-query" ? undefined : retry;
  return (
    <div className="state" role="alert">
      <strong>{sentence(problem.title)}</strong>
      {problem.detail && problem.detail !== problem.title ? <p>{sentence(problem.detail)}</p> : null}
      {ADVICE[kind] ? <p>{ADVICE[kind]}</p> : null}
      {again ? (
        <button className="btn" type="button" onClick={again}>
          Try again
        </button>
      ) : null}
    </div>
  );
}

/** One of: being asked, refused, there. */
export function Shown<T>({ query, lines, children }: { query: UseQueryResult<T>; lines?: number; children: (data: T) => ReactNode }) {
  if (query.isPending) return <Loading lines={lines} />;
  if (query.isError) return <Failed error={query.error} retry={() => void query.refetch()} />;
  return <>{children(query.data)}</>;
}

export function Card({ title, more, flush, children, id }: { title?: ReactNode; more?: ReactNode; flush?: boolean; children: ReactNode; id?: string }) {
  return (
    <section className={`card${flush ? " flush" : ""}`} id={id}>
      {title ? (
        <header>
          <h2>{title}</h2>
          {more}
        </header>
      ) : null}
      {children}
    </section>
  );
}
