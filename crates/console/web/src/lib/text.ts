// Text from traffic is hostile: it is shown as text, and what would hide or turn it around is made visible.

/** Controls, bidi controls, zero-width characters, tags and other invisible ones. */
const HIDDEN =
  /[\u0000-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb]|[\u{e0000}-\u{e0fff}]/gu;

export interface Piece {
  text: string;
  hidden: boolean;
}

/** The text in pieces; a hidden piece names one invisible character, `U+202E`. With `lines`, line ends and tabs stay what they are. */
export function pieces(text: string, lines = false): Piece[] {
  const out: Piece[] = [];
  let end = 0;
  for (const found of text.matchAll(HIDDEN)) {
    if (lines && (found[0] === "\n" || found[0] === "\t")) continue;
    if (found.index > end) out.push({ text: text.slice(end, found.index), hidden: false });
    const code = found[0].codePointAt(0) ?? 0;
    out.push({ text: `U+${code.toString(16).toUpperCase().padStart(4, "0")}`, hidden: true });
    end = found.index + found[0].length;
  }
  if (end < text.length) out.push({ text: text.slice(end), hidden: false });
  return out;
}

/** The same as one string, where no elements can be: titles, options, labels. */
export function plain(text: string): string {
  return pieces(text)
    .map((piece) => (piece.hidden ? `⟨${piece.text}⟩` : piece.text))
    .join("");
}

const NAMES: Record<string, string> = {
  ip: "Address",
  cidr: "Network",
  "api-key": "API key",
  tls: "TLS",
  http2: "HTTP/2",
  ipv6: "IPv6",
  native_ttl: "Expiry of its own",
  haproxy: "HAProxy",
  nginx: "nginx",
  nftables: "nftables",
  ipset: "ipset",
  ttl_s: "TTL",
};

/** `credential-stuffing` as `Credential stuffing`. */
export function words(id: string): string {
  const name = NAMES[id];
  if (name) return name;
  const text = id.replace(/[-_]/g, " ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** With a great letter at its beginning. */
export function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

const CLASS_NAMES: Record<string, string> = {
  "ato-transfer-fraud": "Account takeover with transfer",
  "giftcard-bruteforce": "Gift card brute force",
  "sim-swap-abuse": "SIM swap abuse",
  "otp-abuse": "One-time code abuse",
  "app-dos": "Application denial of service",
  "ai-crawler": "AI crawler",
  "api-scraping": "API scraping",
  "id-enumeration": "Id enumeration",
  bola: "Broken object level authorization",
  sqli: "SQL injection",
};

/** A class id as an analyst says it. */
export function className(id: string | null | undefined): string {
  if (!id) return "Unclassified";
  return CLASS_NAMES[id] ?? words(id);
}
