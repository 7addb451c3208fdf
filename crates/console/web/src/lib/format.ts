const count = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

/** `12,345`. */
export function n(value: number | null | undefined): string {
  return value === null || value === undefined ? "–" : count.format(value);
}

/** `once`, `12 times`. */
export function times(value: number): string {
  return value === 1 ? "once" : `${n(value)} times`;
}

/** `1 request`, `12 requests`. */
export function counted(value: number, one: string, more = `${one}s`): string {
  return `${n(value)} ${value === 1 ? one : more}`;
}

/** `12.3K`. */
export function short(value: number | null | undefined): string {
  if (value === null || value === undefined) return "–";
  return value < 10_000 ? count.format(value) : compact.format(value);
}

export function bytes(value: number | null | undefined): string {
  if (value === null || value === undefined) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  let left = value;
  while (left >= 1024 && unit < units.length - 1) {
    left /= 1024;
    unit += 1;
  }
  return `${unit === 0 || left >= 100 ? Math.round(left) : left.toFixed(1)} ${units[unit] ?? ""}`;
}

export function percent(share: number): string {
  if (!Number.isFinite(share)) return "–";
  if (share > 0 && share < 0.001) return "< 0.1 %";
  const value = share * 100;
  return `${value >= 10 || value === 0 ? Math.round(value * 10) / 10 : value.toFixed(1)} %`;
}

/** `2026-10-13 09:04:28`, UTC; with milliseconds where asked. */
export function time(value: string | null | undefined, precise = false): string {
  if (!value) return "–";
  return value.slice(0, precise ? 23 : 19).replace("T", " ");
}

/** `09:04:28`, UTC. */
export function clock(value: string): string {
  return value.slice(11, 19);
}

export function seconds(value: string): number {
  return Date.parse(value) / 1000;
}

/** `2 min`, `3 h 20 min`; two units at most. */
export function duration(s: number): string {
  if (!Number.isFinite(s) || s < 0) return "–";
  if (s < 1) return `${Math.round(s * 1000)} ms`;
  const units: [number, string][] = [
    [86_400, "d"],
    [3_600, "h"],
    [60, "min"],
    [1, "s"],
  ];
  const parts: string[] = [];
  let left = Math.round(s);
  for (const [size, name] of units) {
    const whole = Math.floor(left / size);
    if (whole > 0) parts.push(`${whole} ${name}`);
    left -= whole * size;
    if (parts.length === 2) break;
  }
  return parts.join(" ") || "0 s";
}

export function between(from: string, to: string): string {
  return duration(seconds(to) - seconds(from));
}

/** How soon a campaign was recognised, in words; when, where that was before what is known of it begins. */
export function recognised(row: { first_seen: string; detected_at: string; phase: string }): string {
  if (row.phase === "retrospective") return "recognised afterwards";
  const after = seconds(row.detected_at) - seconds(row.first_seen);
  if (after >= 0) return `recognised after ${duration(after)}`;
  return row.detected_at ? `recognised at ${time(row.detected_at)} UTC` : "";
}

/** The band of a risk from 0 to 100, as the API counts it. */
export function band(risk: number): "critical" | "high" | "medium" | "low" | "none" {
  if (risk >= 80) return "critical";
  if (risk >= 60) return "high";
  if (risk >= 30) return "medium";
  return risk >= 1 ? "low" : "none";
}
