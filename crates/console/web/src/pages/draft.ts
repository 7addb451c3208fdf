// A policy that another page drew up and the editor takes over.
const KEY = "sidetap.policy-draft";

export function keepDraft(text: string): void {
  window.sessionStorage.setItem(KEY, text);
}

export function readDraft(): string | null {
  return window.sessionStorage.getItem(KEY);
}

export function dropDraft(): void {
  window.sessionStorage.removeItem(KEY);
}

/** What somebody writes and has not saved, and the version that it began with. */
export interface Written {
  text: string;
  version: number;
}

/** Where it is kept: for each who writes, and each policy, as long as the tab is there. */
export function writtenKey(user: string, path: string | null): string {
  return `sidetap.policy-text ${user} ${path ?? ""}`;
}

export function keepWritten(key: string, written: Written): void {
  try {
    window.sessionStorage.setItem(key, JSON.stringify(written));
  } catch {
    // A browser that keeps nothing: it is lost with the page.
  }
}

export function readWritten(key: string): Written | null {
  try {
    const kept: unknown = JSON.parse(window.sessionStorage.getItem(key) ?? "null");
    if (typeof kept !== "object" || kept === null || !("text" in kept) || !("version" in kept)) return null;
    return typeof kept.text === "string" && typeof kept.version === "number" ? { text: kept.text, version: kept.version } : null;
  } catch {
    return null;
  }
}

export function dropWritten(key: string): void {
  window.sessionStorage.removeItem(key);
}

/** Sections of a pack that hold rules. */
const SECTIONS = ["rules", "requests"];

/** Lines of each section of a pack that holds rules, without the section's own line. */
function sections(text: string): Map<string, string[]> {
  const found = new Map<string, string[]>();
  let into: string[] | undefined;
  for (const line of text.split("\n")) {
    const key = /^([a-z_]+):/.exec(line)?.[1];
    if (key !== undefined) {
      into = SECTIONS.includes(key) ? [] : undefined;
      if (into) found.set(key, into);
    } else if (into && line.trim() !== "") {
      into.push(line);
    }
  }
  return found;
}

/** A pack with the rules of a suggested one before its own; what it says otherwise stays. */
export function joined(present: string, suggested: string): string {
  let text = present.endsWith("\n") || present === "" ? present : `${present}\n`;
  for (const [key, lines] of sections(suggested)) {
    // Lists of lists stand indented or not: as they do in what is there.
    const flat = new RegExp(`^${key}:.*\\n(#.*\\n)*- `, "m").test(text);
    const more = `${key}:\n${lines.map((line) => (flat ? line.replace(/^ {2}/, "") : line)).join("\n")}\n`;
    const own = new RegExp(`^${key}:[ \\t]*(\\[\\s*\\])?[ \\t]*(#.*)?\\n`, "m");
    if (own.test(text)) text = text.replace(own, () => more);
    else text += more;
  }
  return text;
}
