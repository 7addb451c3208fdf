import type { ReactNode } from "react";
import { useEffect, useRef } from "react";

import { plain } from "../lib/text";
import { A } from "../lib/url";
import { T } from "./text";

/** A page's head: where it stands, what it is, what can be done. */
export function Page({
  title,
  heading,
  up,
  lead,
  meta,
  actions,
  children,
}: {
  title: string;
  heading?: ReactNode;
  up?: { href: string; name: string };
  lead?: ReactNode;
  meta?: ReactNode;
  actions?: ReactNode;
  children: ReactNode;
}) {
  useEffect(() => {
    document.title = `${plain(title)} · Sidetap`;
  }, [title]);
  return (
    <div className="page">
      <div className="head">
        <div>
          {up ? (
            <p className="crumbs">
              <A href={up.href}>
                <T>{up.name}</T>
              </A>
            </p>
          ) : null}
          <h1>{heading ?? title}</h1>
          {lead ? <div className="lead">{lead}</div> : null}
          {meta ? <div className="meta">{meta}</div> : null}
        </div>
        {actions ? <div className="row">{actions}</div> : null}
      </div>
      {children}
    </div>
  );
}

/** Tabs whose choice stands in the address. */
export function Tabs({ tabs, chosen, href, label }: { tabs: { id: string; name: string; count?: number | null }[]; chosen: string; href: (id: string) => string; label: string }) {
  const box = useRef<HTMLElement>(null);
  // On a narrow screen the chosen one may lie beside what is in sight.
  useEffect(() => {
    const bar = box.current;
    const tab = bar?.querySelector<HTMLElement>("[aria-current]");
    if (!bar || !tab) return;
    const from = tab.offsetLeft - bar.offsetLeft;
    if (from < bar.scrollLeft || from + tab.offsetWidth > bar.scrollLeft + bar.clientWidth) bar.scrollLeft = from - (bar.clientWidth - tab.offsetWidth) / 2;
  }, [chosen, tabs.length]);
  return (
    <nav className="tabs" aria-label={label} ref={box}>
      {tabs.map((tab) => (
        <A key={tab.id} href={href(tab.id)} aria-current={tab.id === chosen ? "page" : undefined}>
          {tab.name}
          {tab.count !== undefined && tab.count !== null ? <span className="muted"> {tab.count}</span> : null}
        </A>
      ))}
    </nav>
  );
}
