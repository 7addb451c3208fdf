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

/** What the server marks as typed, `like this`, in quotes: here it is text, and no element. */
export function unticked(text: string): string {
  return text.replace(/`([^`]+)`/g, "“$1”");
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
  "vuln-scan": "Vulnerability scan",
};

/** A class id as an analyst says it. */
export function className(id: string | null | undefined): string {
  if (!id) return "Unclassified";
  return CLASS_NAMES[id] ?? words(id);
}

/** What came of an attack, `accounts-tried` of so many. */
export function outcomeName(id: string, count: number): string {
  const name = words(id).toLowerCase();
  return count === 1 ? name.replace(/^(sign up|unknown user|[a-z]+)s\b/, "$1") : name;
}

const TYPES: Record<string, string> = {
  "one-time-code": "One-time code",
  bic: "Bank code (BIC)",
  btc: "Bitcoin address",
  dob: "Date of birth",
  eth: "Ethereum address",
  iban: "Bank account (IBAN)",
  iccid: "SIM card number (ICCID)",
  imei: "Device number (IMEI)",
  "ip-v4": "IPv4 address",
  "ip-v6": "IPv6 address",
  jwt: "JSON Web Token",
  mac: "MAC address",
  vin: "Vehicle number (VIN)",
  "api-key": "API key",
  "au-medicare": "Australian Medicare number",
  "aws-key-id": "AWS key id",
  "aws-secret-key": "AWS secret key",
  "be-rrn": "Belgian national number (RRN)",
  "ca-sin": "Canadian social insurance number (SIN)",
  "ch-ahv": "Swiss insurance number (AHV)",
  "cn-id": "Chinese identity number",
  "de-steuer-id": "German tax number (Steuer-ID)",
  "es-dni": "Spanish identity number (DNI)",
  "es-nie": "Spanish foreigner number (NIE)",
  "fi-hetu": "Finnish personal code (HETU)",
  "fr-nir": "French social security number (NIR)",
  "github-token": "GitHub token",
  "gitlab-token": "GitLab token",
  "google-api-key": "Google API key",
  "google-oauth": "Google OAuth secret",
  "in-aadhaar": "Indian Aadhaar number",
  "in-ifsc": "Indian bank code (IFSC)",
  "in-pan": "Indian tax number (PAN)",
  "it-cf": "Italian tax code (codice fiscale)",
  "mx-clabe": "Mexican bank account (CLABE)",
  "nl-bsn": "Dutch citizen number (BSN)",
  "no-fnr": "Norwegian birth number (fødselsnummer)",
  "npm-token": "npm token",
  "oauth-secret": "OAuth secret",
  "openai-key": "OpenAI key",
  "otp-uri": "One-time password URI",
  "pl-nip": "Polish tax number (NIP)",
  "pl-pesel": "Polish national number (PESEL)",
  "pt-nif": "Portuguese tax number (NIF)",
  "pypi-token": "PyPI token",
  "se-pnr": "Swedish personal number (personnummer)",
  "sendgrid-key": "SendGrid key",
  "sg-nric": "Singaporean identity number (NRIC)",
  "tr-tckn": "Turkish identity number (TCKN)",
  "uk-nhs": "British NHS number",
  "uk-nino": "British National Insurance number",
  "uk-utr": "British tax number (UTR)",
  "url-credentials": "Credentials in a URL",
  "us-aba": "US bank routing number (ABA)",
  "us-bank-account": "US bank account",
  "us-dea": "US prescriber number (DEA)",
  "us-ein": "US employer number (EIN)",
  "us-itin": "US taxpayer number (ITIN)",
  "us-mbi": "US Medicare number (MBI)",
  "us-npi": "US provider number (NPI)",
  "us-ssn": "US social security number (SSN)",
};

/** A type of sensitive data, `us-ssn`, as people call it. */
export function dataType(id: string): string {
  return TYPES[id] ?? words(id);
}
