import { className } from "../lib/text";

const CLASS_IDS = [
  "account-takeover",
  "ai-crawler",
  "api-scraping",
  "app-dos",
  "ato-transfer-fraud",
  "bola",
  "carding",
  "cash-out",
  "content-scraping",
  "coupon-abuse",
  "credential-cracking",
  "credential-stuffing",
  "directory-bruteforce",
  "fake-account-creation",
  "fake-crawler",
  "giftcard-bruteforce",
  "hype-sale-bot",
  "id-enumeration",
  "inventory-hoarding",
  "inventory-scraping",
  "otp-abuse",
  "password-reset-enumeration",
  "price-scraping",
  "sim-swap-abuse",
  "skewing",
  "spam",
  "sqli",
  "token-cracking",
  "vuln-scan",
];

/** Classes of abuse, as a filter offers them. */
export const CLASSES = CLASS_IDS.map((id) => ({ value: id, name: className(id) }));

export const RESPONSES = ["block", "deceive", "tarpit", "challenge", "geo-fence", "rate-limit", "tag", "alert", "log", "none"];

export const METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];

export const STANDINGS = ["documented", "shadow", "deprecated", "orphan", "unknown"];

export const PROTOCOLS = ["rest", "graphql", "grpc", "soap", "json-rpc", "mcp", "llm", "websocket", "page", "asset"];

export const SUBJECT_KINDS = ["ip", "cidr", "session", "account", "api-key", "fingerprint", "compound"];
