import type { ReactNode } from "react";

const paths = {
  overview: <path d="M3 12h4l3-8 4 16 3-8h4" />,
  campaigns: <path d="M12 3v3m0 12v3M3 12h3m12 0h3M12 7a5 5 0 100 10 5 5 0 000-10zm0 4a1 1 0 100 2 1 1 0 000-2z" />,
  inventory: <path d="M4 5h6v5H4zM14 14h6v5h-6zM14 5h6v5h-6zM7 10v6.5h7" />,
  findings: <path d="M9 6h11M9 12h11M9 18h11M4 6l1 1 1.5-2M4 12l1 1 1.5-2M4 18l1 1 1.5-2" />,
  actors: <path d="M9 4a4 4 0 110 8 4 4 0 010-8zM2 20c0-4 3-6 7-6s7 2 7 6M16 4.5a4 4 0 010 7M18 14.5c2.5.8 4 2.500 4 5.500" />,
  sensitive: <path d="M6 11h12v9H6zM8.500 11V8a3.500 3.500 0 017 0v3M12 15v2" />,
  policies: <path d="M12 3l8 3v6c0 5-3.500 8-8 9-4.500-1-8-4-8-9V6zM9 12l2 2 4-4" />,
  mitigation: <path d="M3 5h18v5H3zM3 14h18v5H3zM7 7.500h.01M7 16.500h.01M8 10v4M16 10v4" />,
  search: <path d="M10.500 4a6.500 6.500 0 110 13 6.500 6.500 0 010-13zM20 20l-4.700-4.700" />,
  settings: <path d="M4 7h9m4 0h3M4 17h3m4 0h9M15 4.500v5M9 14.500v5" />,
  menu: <path d="M4 6h16M4 12h16M4 18h16" />,
  theme: <path d="M12 3a9 9 0 100 18zM12 3a9 9 0 010 18" />,
  download: <path d="M12 4v11m-4-4l4 4 4-4M4 20h16" />,
  columns: <path d="M4 5h16v14H4zM10 5v14M15 5v14" />,
  close: <path d="M6 6l12 12M18 6L6 18" />,
} satisfies Record<string, ReactNode>;

export type IconName = keyof typeof paths;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg viewBox="0 0 24 24" width="18" height="18" fill="none" stroke="currentColor" strokeWidth="1.8" strokeLinecap="round" strokeLinejoin="round" aria-hidden="true">
      {paths[name]}
    </svg>
  );
}

export function Mark() {
  return (
    <svg viewBox="0 0 32 32" width="26" height="26" fill="none" strokeWidth="3" strokeLinecap="round" aria-hidden="true">
      <path d="M3 10h26" stroke="currentColor" />
      <path d="M12 10c0 9 3 12 11 12" stroke="var(--accent)" />
      <circle cx="25" cy="22" r="3" fill="var(--accent)" />
    </svg>
  );
}
