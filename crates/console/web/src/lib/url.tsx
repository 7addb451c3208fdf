import { useRouter, useRouterState } from "@tanstack/react-router";
import type { AnchorHTMLAttributes, MouseEvent, ReactNode } from "react";
import { useCallback } from "react";

export type Search = Record<string, string>;

export function parseSearch(text: string): Search {
  return Object.fromEntries(new URLSearchParams(text));
}

export function stringifySearch(search: Record<string, unknown>): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(search)) {
    if (value !== undefined && value !== null && value !== "") query.set(name, String(value));
  }
  const text = query.toString();
  return text ? `?${text}` : "";
}

/** A path of the console with a query. */
export function to(path: string, search: Record<string, unknown> = {}): string {
  return path + stringifySearch(search);
}

/** Paths of things, ids escaped. */
export const pathTo = {
  endpoint: (id: string) => `/inventory/endpoints/${encodeURIComponent(id)}`,
  campaign: (id: string) => `/campaigns/${encodeURIComponent(id)}`,
  actor: (id: string) => `/actors/${encodeURIComponent(id)}`,
  exchange: (id: string) => `/exchanges/${encodeURIComponent(id)}`,
  finding: (id: string) => `/findings/${encodeURIComponent(id)}`,
  host: (host: string) => to("/inventory", { host }),
};

/** What the address says, and how to change it: every view can be shared by its link. */
export function useUrl(): {
  path: string;
  search: Search;
  set: (patch: Record<string, string | undefined>, push?: boolean) => void;
  go: (href: string) => void;
  replace: (href: string) => void;
} {
  const router = useRouter();
  const path = useRouterState({ select: (state) => state.location.pathname });
  const search = useRouterState({ select: (state) => state.location.search as Search });
  const set = useCallback(
    (patch: Record<string, string | undefined>, push = false) => {
      const now = router.state.location;
      const href = to(now.pathname, { ...(now.search as Search), ...patch });
      if (push) router.history.push(href);
      else router.history.replace(href);
    },
    [router],
  );
  const go = useCallback((href: string) => router.history.push(href), [router]);
  const replace = useCallback((href: string) => router.history.replace(href), [router]);
  return { path, search, set, go, replace };
}

export function plainClick(event: MouseEvent): boolean {
  return event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
}

/** A link inside the console. */
export function A({ href, children, onClick, ...rest }: AnchorHTMLAttributes<HTMLAnchorElement> & { href: string; children?: ReactNode }) {
  const router = useRouter();
  return (
    <a
      {...rest}
      href={href}
      onClick={(event) => {
        onClick?.(event);
        if (event.defaultPrevented || !plainClick(event)) return;
        event.preventDefault();
        router.history.push(href);
      }}
    >
      {children}
    </a>
  );
}
