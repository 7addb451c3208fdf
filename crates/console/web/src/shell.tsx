import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Outlet } from "@tanstack/react-router";
import type { FormEvent } from "react";
import { useEffect, useRef, useState } from "react";

import { api, setCsrf } from "./api/client";
import type { Approval, Health, Page } from "./api/types";
import { hasEntered } from "./gate";
import { bytes, short } from "./lib/format";
import { A, to, useUrl } from "./lib/url";
import { useLive } from "./live";
import type { Theme } from "./theme";
import { readTheme, setTheme } from "./theme";
import { Dialog, Toasts, useSession } from "./ui/act";
import type { IconName } from "./ui/icons";
import { Icon, Mark } from "./ui/icons";

const PAGES: { href: string; name: string; icon: IconName; key: string }[] = [
  { href: "/", name: "Overview", icon: "overview", key: "o" },
  { href: "/campaigns", name: "Campaigns", icon: "campaigns", key: "c" },
  { href: "/inventory", name: "Inventory", icon: "inventory", key: "i" },
  { href: "/findings", name: "Findings", icon: "findings", key: "f" },
  { href: "/actors", name: "Actors", icon: "actors", key: "a" },
  { href: "/sensitive", name: "Sensitive data", icon: "sensitive", key: "d" },
  { href: "/policies", name: "Policies", icon: "policies", key: "p" },
  { href: "/mitigation", name: "Mitigation", icon: "mitigation", key: "m" },
  { href: "/search", name: "Search", icon: "search", key: "s" },
  { href: "/settings", name: "Settings", icon: "settings", key: "t" },
];

const STATUS = { ok: "Capture is whole", warn: "Capture has gaps", bad: "Capture is losing data" };

function CaptureHealth() {
  const { live, connected } = useLive();
  const query = useQuery({ queryKey: ["health"], queryFn: ({ signal }) => api.get<Health>("/health", {}, signal), refetchInterval: 30_000 });
  const health = query.data;
  const lost = live ? live.kernel_dropped + live.shed : 0;
  const kind = health?.status ?? "warn";
  return (
    <A href="/settings?tab=capture" className="health" title={health ? STATUS[kind] : "Asking"}>
      <span className={`dot ${kind}`} aria-hidden="true" />
      <span className="sr">{health ? STATUS[kind] : "Capture health is being asked"}</span>
      <span className="long" aria-hidden="true">
        {live ? `${short(live.exchanges_per_s)} exchanges/s · ${bytes(live.bytes_per_s)}/s${lost > 0 ? ` · ${short(lost)} lost` : ""}` : connected ? (health === undefined ? "…" : health.live ? "Live traffic" : "Stored traffic") : "Not connected"}
      </span>
    </A>
  );
}

function Themes() {
  const [theme, choose] = useState<Theme>(readTheme);
  const next: Record<Theme, Theme> = { system: "dark", dark: "light", light: "system" };
  return (
    <button
      type="button"
      className="btn quiet"
      onClick={() => {
        setTheme(next[theme]);
        choose(next[theme]);
      }}
    >
      <Icon name="theme" /> {theme === "system" ? "As the system" : theme === "dark" ? "Dark" : "Light"}
      <span className="sr">, change the colours</span>
    </button>
  );
}

function Help({ open, close }: { open: boolean; close: () => void }) {
  return (
    <Dialog title="Keys" open={open} close={close}>
      <dl className="facts">
        <dt>
          <kbd>/</kbd>
        </dt>
        <dd>Search</dd>
        <dt>
          <kbd>j</kbd> <kbd>k</kbd>
        </dt>
        <dd>Next and previous row of a list, next and previous exchange</dd>
        <dt>
          <kbd>?</kbd>
        </dt>
        <dd>This list</dd>
        {PAGES.map((page) => (
          <div key={page.href} style={{ display: "contents" }}>
            <dt>
              <kbd>g</kbd> <kbd>{page.key}</kbd>
            </dt>
            <dd>{page.name}</dd>
          </div>
        ))}
      </dl>
    </Dialog>
  );
}

/** Keys that work everywhere but where text is written. */
function useKeys(go: (href: string) => void, help: () => void) {
  useEffect(() => {
    let since = 0;
    const pressed = (event: KeyboardEvent) => {
      const target = event.target as HTMLElement;
      if (event.metaKey || event.ctrlKey || event.altKey || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName) || document.querySelector("dialog[open]")) return;
      if (event.key === "/") {
        event.preventDefault();
        document.getElementById("search")?.focus();
      } else if (event.key === "?") {
        help();
      } else if (event.key === "j" && (target === document.body || target.id === "main")) {
        // From nowhere into the first row; from there rows have the key themselves.
        document.querySelector<HTMLElement>("main tbody a, main tbody button")?.focus();
      } else if (event.key === "g") {
        since = event.timeStamp;
      } else if (event.timeStamp - since < 1_500) {
        const page = PAGES.find((one) => one.key === event.key);
        since = 0;
        if (page) go(page.href);
      }
    };
    window.addEventListener("keydown", pressed);
    return () => window.removeEventListener("keydown", pressed);
  }, [go, help]);
}

export function Shell() {
  const { path, search, go } = useUrl();
  const session = useSession();
  const client = useQueryClient();
  const [open, setOpen] = useState(false);
  const [keys, setKeys] = useState(false);
  const [leaving, setLeaving] = useState(false);
  const main = useRef<HTMLElement>(null);
  const first = useRef(true);
  const approvals = useQuery({
    queryKey: ["approvals", "pending"],
    queryFn: ({ signal }) => api.get<Page<Approval>>("/approvals", { status: "pending", limit: 1 }, signal),
    retry: false,
  });
  const showKeys = useRef(() => setKeys(true)).current;
  useKeys(go, showKeys);
  useEffect(() => {
    setOpen(false);
    if (first.current) {
      first.current = false;
      if (hasEntered()) main.current?.focus({ preventScroll: true });
      return;
    }
    main.current?.focus({ preventScroll: true });
    window.scrollTo(0, 0);
  }, [path]);
  const menu = useRef<HTMLButtonElement>(null);
  const rail = useRef<HTMLElement>(null);
  // On a narrow screen the menu lies over the page: the focus goes into it, and back.
  useEffect(() => {
    if (open) rail.current?.querySelector("a")?.focus();
  }, [open]);
  const close = () => {
    setOpen(false);
    if (open) menu.current?.focus();
  };
  const find = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const q = String(new FormData(event.currentTarget).get("q") ?? "").trim();
    if (q) go(to("/search", { q }));
  };
  const leave = async () => {
    // Nothing is asked any more for a session that ends.
    setLeaving(true);
    await client.cancelQueries();
    await api.delete("/session").catch(() => undefined);
    setCsrf(null);
    client.setQueryData(["session"], null);
    // Once the pages that asked are gone.
    window.setTimeout(() => client.removeQueries({ predicate: (query) => query.queryKey[0] !== "session" && query.queryKey[0] !== "setup" }), 100);
  };
  const pending = approvals.data?.total ?? 0;
  return (
    <Toasts>
      <a className="skip" href="#main">
        To the content
      </a>
      <div className="shell">
        <nav className={`rail${open ? " open" : ""}`} aria-label="Pages" id="rail" ref={rail} onKeyDown={(event) => event.key === "Escape" && close()}>
          <A href="/" className="brand">
            <Mark /> Sidetap
          </A>
          <ul>
            {PAGES.map((page) => {
              const here = page.href === "/" ? path === "/" : path.startsWith(page.href);
              return (
                <li key={page.href}>
                  <A href={page.href} className={`nav${here ? " active" : ""}`} aria-current={here ? "page" : undefined}>
                    <Icon name={page.icon} />
                    {page.name}
                    {page.href === "/policies" && pending > 0 ? (
                      <span className="count" title="Approvals that wait">
                        {pending}
                        <span className="sr"> approvals wait</span>
                      </span>
                    ) : null}
                  </A>
                </li>
              );
            })}
          </ul>
          <div className="foot">
            <Themes />
            <button type="button" className="btn quiet" onClick={() => setKeys(true)}>
              Keys
            </button>
            <button type="button" className="btn quiet" onClick={() => void leave()}>
              Log out
            </button>
          </div>
        </nav>
        <div>
          <header className="bar">
            <button type="button" className="btn menu" ref={menu} aria-expanded={open} aria-controls="rail" onClick={() => setOpen(!open)}>
              <Icon name="menu" />
              <span className="sr">Pages</span>
            </button>
            <form role="search" aria-label="Everything" onSubmit={find}>
              <input key={search["q"] ?? ""} id="search" name="q" type="search" aria-label="Search everything" placeholder="Search paths, hosts, addresses, agents, rules" minLength={3} defaultValue={path === "/search" ? search["q"] : ""} />
            </form>
            <div className="right">
              {leaving ? null : <CaptureHealth />}
              <A href="/settings?tab=account" className="wide muted nowrap">
                {session.user.name} <span className="small">({session.user.role})</span>
              </A>
            </div>
          </header>
          <main id="main" ref={main} tabIndex={-1}>
            <Outlet />
          </main>
        </div>
      </div>
      <Help open={keys} close={() => setKeys(false)} />
    </Toasts>
  );
}
