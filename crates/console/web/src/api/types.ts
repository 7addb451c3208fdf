// What the API answers: docs/api.md, and the rows of docs/run-directory.md.

/** RFC 3339 UTC. */
export type Time = string;

export type Intent = "benign" | "automated" | "suspicious" | "malicious";
export const INTENTS: readonly Intent[] = ["malicious", "suspicious", "automated", "benign"];

export type Severity = "critical" | "high" | "medium" | "low" | "info";
export const SEVERITIES: readonly Severity[] = ["critical", "high", "medium", "low", "info"];

export type Role = "viewer" | "analyst" | "operator" | "admin";
export const ROLES: readonly Role[] = ["viewer", "analyst", "operator", "admin"];

export type Counts = Record<string, number>;

export interface Page<T> {
  rows: T[];
  next: string | null;
  total: number;
  /** There are more than were counted. */
  more?: boolean;
}

export interface Session {
  user: { name: string; role: Role };
  csrf: string;
  expires_at: Time;
  kind: "session" | "token";
}

export interface Subject {
  kind: string;
  value: string;
  parts?: { kind: string; value: string }[];
}

export interface Reason {
  indicator: string;
  weight: number;
  observed: string;
  baseline: string;
  evidence: string[];
}

export interface Origin {
  asn?: number | null;
  organization?: string | null;
  country?: string | null;
  kinds?: string[];
}

export interface Agent {
  kind: string | null;
  operator: string | null;
  function: string | null;
  verified: boolean | null;
  by: string | null;
  party: string | null;
}

export interface VerdictItem {
  id: string;
  zone: string;
  subject: Subject;
  client_ip: string | null;
  intent: Intent;
  class: string | null;
  oat: string[];
  score: number;
  automation: number;
  campaign: string | null;
  phase: string;
  first_seen: Time;
  detected_at: Time;
  last_seen: Time;
  requests: number;
  response: string;
  policy?: string | null;
  ttl_s: number | null;
  hosts?: string[];
  origin?: Origin | null;
  agent?: Agent | null;
  addresses?: number;
  indicators?: string[];
  why?: string | null;
}

export interface VerdictRow extends VerdictItem {
  client_ips: string[];
  coverage: Record<string, string>;
  reasons: Reason[];
}

export interface VerdictDetail {
  verdict: VerdictRow;
  campaign: CampaignItem | null;
  indicators: Record<string, { description: string; pillar: string; kind: string; references?: string[] }>;
  actions: ActionRow[];
  actions_total: number;
  elsewhere: VerdictItem[];
}

export interface WhatIf {
  score: { was: number; would: number };
  automation: { was: number; would: number };
  intent: { was: Intent; would: Intent };
  without: string[];
  reasons: Reason[];
}

export interface Share {
  name?: string;
  value?: string;
  country?: string;
  organization?: string;
  asn?: number;
  members?: number;
  count?: number;
}

export interface CampaignItem {
  id: string;
  class: string;
  oat: string[];
  score: number;
  phase: string;
  first_seen: Time;
  detected_at: Time;
  last_seen: Time;
  requests: number;
  endpoints: string[];
  members: number;
  kinds: Counts;
  countries: Counts | Share[] | string[] | null;
  networks: Counts | Share[] | string[] | null;
  outcome: Counts;
  story: string;
  timeline: [Time, number][];
  labels: string[];
}

export interface Member {
  kind: string;
  value: string;
  first_seen: Time;
  requests: number;
  verdict?: string | null;
  country?: string | null;
  organization?: string | null;
}

export interface CampaignRow extends Omit<CampaignItem, "members" | "story" | "kinds"> {
  members: Member[];
  signature: Record<string, string>;
  reasons: Reason[];
}

export interface CampaignDetail {
  campaign: CampaignRow;
  members_total: number;
  labels: string[];
  note: string | null;
  verdicts: number;
  responses: Counts;
  fingerprints: Record<string, string | number | null>[];
  findings: FindingItem[];
  actions: ActionRow[];
  actions_total: number;
}

export interface Suggestion {
  policy: string;
  condition: string;
  precision: number;
  recall: number;
  malicious: { hit: number; all: number };
  honest: { hit: number; all: number };
  devices: { name: string; can: boolean; why: string | null }[];
  notes: string[];
}

export interface EndpointRow {
  id: string;
  zone: string;
  host: string;
  method: string;
  template: string;
  protocol: string;
  calls: number;
  first_seen: Time;
  last_seen: Time;
  status_codes: Counts;
  auth: string[];
  exposure: string;
  standing: string;
  roles: string[];
  channels: string[];
  callers: { count: number; countries: Counts; organizations: Counts };
  sensitive: { type: string; direction: string; location: string }[];
  risk: number;
  risk_terms: string[];
  parameters: { name: string; location?: string; in?: string; type?: string; format?: string; required?: boolean; example?: string; values?: string[] }[];
  aliases?: string[];
  labels?: string[];
  owner?: string | null;
  findings_open?: number;
}

export interface HostItem {
  host: string;
  zones: string[];
  endpoints: number;
  calls: number;
  risk: number;
  standing: Counts;
  protocols: Counts;
  auth: Counts;
  sensitive: string[];
  findings_open: number;
  first_seen: Time;
  last_seen: Time;
  openapi: boolean;
}

export interface Schema {
  type?: string | string[];
  format?: string;
  properties?: Record<string, Schema>;
  items?: Schema;
  required?: string[];
  enum?: unknown[];
  description?: string;
  minimum?: number;
  maximum?: number;
  anyOf?: Schema[];
  oneOf?: Schema[];
  nullable?: boolean;
  additionalProperties?: boolean | Schema;
}

export interface Operation {
  summary?: string;
  parameters?: { name: string; in: string; required?: boolean; schema?: Schema; description?: string }[];
  requestBody?: { content?: Record<string, { schema?: Schema }> };
  responses?: Record<string, { description?: string; content?: Record<string, { schema?: Schema }> }>;
  security?: Record<string, string[]>[];
}

/** What people said of an endpoint before it was merged into another. */
export interface MergedNotes {
  id: string;
  method: string | null;
  template: string | null;
  labels: string[];
  owner: string | null;
  note: string | null;
}

export interface EndpointDetail {
  endpoint: EndpointRow;
  merged_into: string | null;
  labels: string[];
  owner: string | null;
  note: string | null;
  merged: MergedNotes[];
  operation: Operation | null;
  sensitive: SensitiveRow[];
  findings: FindingItem[];
  host_findings: FindingItem[];
  campaigns: CampaignItem[];
  abusers: VerdictItem[];
  abusers_total: number;
  traffic: { bucket_s: number; points: { ts: Time; calls: number }[] };
  history: Change[];
}

export interface SensitiveRow {
  id?: string;
  endpoint: { id: string; host: string; method: string; template: string };
  direction: string;
  location: string;
  type: string;
  alternatives: string[];
  class: string[];
  confidence: number;
  count: number;
  masked: string;
  first_seen: Time;
  evidence: string | string[];
}

export interface SensitiveSummary {
  by_type: { type: string; class: string[]; places: number; endpoints: number; hosts: number; count: number; request: number; response: number }[];
  by_class: { class: string; types: number | string[]; places: number; endpoints: number; hosts: number; count: number }[];
}

export type WorkStatus = "open" | "assigned" | "accepted" | "false-positive" | "fixed";

export interface FindingItem {
  id: string;
  kind: string;
  rule: string;
  severity: Severity;
  certainty: string;
  owasp: string[];
  subject: { endpoint?: string; host?: string; method?: string; template?: string; zone?: string; ip?: string; [k: string]: unknown };
  title: string;
  detail: string;
  evidence: string[];
  first_seen: Time;
  last_seen: Time;
  count: number;
  work: {
    status: WorkStatus;
    assignee: string | null;
    expires_at: Time | null;
    note: string | null;
    updated_at: Time | null;
    updated_by: string | null;
    by_rule: boolean;
  };
}

export interface FindingDetail {
  finding: FindingItem;
  endpoint: EndpointRow | null;
  history: { at: Time; by: string; status: WorkStatus; assignee: string | null; expires_at: Time | null; note: string | null }[];
}

export interface FindingSummary {
  by_severity: Counts;
  by_kind: Counts;
  by_rule: Counts;
  by_status: Counts;
  by_host: Counts;
}

export interface Change {
  seq: number;
  at: Time;
  kind: "endpoint" | "campaign" | "finding" | "sensitive";
  id: string;
  change: string;
  title: string;
  host: string | null;
  before: string | null;
  after: string | null;
}

export interface ActionRow {
  seq?: number;
  at: Time;
  actor: string;
  connector: string;
  kind: string;
  mode: string;
  subject: string;
  response: string;
  verdict: string | null;
  expires_at: Time | null;
  outcome: string;
  answer: string;
  why?: string;
}

export interface AuditRow {
  seq: number;
  at: Time;
  actor: string;
  action: string;
  detail: unknown;
}

export interface InputSummary {
  path: string;
  packets: number;
  bytes: number;
  first_ts: Time | null;
  last_ts: Time | null;
  error: string | null;
}

export interface Live {
  packets_per_s: number;
  bytes_per_s: number;
  exchanges_per_s: number;
  kernel_dropped: number;
  shed: number;
  packets: number;
  exchanges: number;
  now: Time;
}

/** What the store was filled from. */
export interface Run {
  id: string;
  saved_at: Time;
  first_ts: Time | null;
  last_ts: Time | null;
  packets: number;
  bytes: number;
  inputs: InputSummary[];
}

export interface Health {
  status: "ok" | "warn" | "bad";
  packets: { total?: number; decoded?: number; dropped?: Counts; kernel_dropped?: number; noted?: Counts };
  streams: { bytes?: number; delivered?: number; discarded?: Counts; gap_bytes?: number; flows?: Counts };
  exchanges: { total?: number; complete?: number; incomplete?: number; incomplete_reasons?: Counts; by_protocol?: Counts };
  anomalies: Counts;
  evictions: Counts;
  clock: Counts;
  doctor: { severity: "info" | "warn" | "bad"; title: string; advice: string }[];
  live: Live | null;
  store: { path: string; bytes: number; limit_bytes: number; rows: Counts; evicted: Counts };
}

export interface TrafficPoint {
  ts: Time;
  benign: number;
  automated: number;
  suspicious: number;
  malicious: number;
}

export interface Overview {
  generated_at: Time;
  span: { from: Time | null; to: Time | null };
  totals: {
    hosts: number;
    endpoints: number;
    shadow: number;
    sensitive: number;
    findings_open: number;
    campaigns: number;
    verdicts: number;
    malicious: number;
    exchanges: number;
    actions: number;
  };
  intents: Record<Intent, number>;
  traffic: { bucket_s: number; points: TrafficPoint[] };
  changes: Change[];
  campaigns: CampaignItem[];
  endpoints: EndpointRow[];
  findings: { by_severity: Counts; by_kind: Counts };
  risk: Counts;
  actions: ActionRow[];
  health: Health;
}

/** A line of exchanges.ndjson: ECS, nested. */
export interface Exchange {
  "@timestamp": Time;
  event?: { duration: number | null };
  network?: { protocol: string };
  source?: { ip: string; port: number };
  client?: { ip: string; port: number; ip_source: string };
  server?: { ip: string; port: number };
  http?: {
    version?: string | null;
    request?: { method: string | null; body?: Body };
    response?: { status_code: number | null; body?: Body };
  };
  url?: { original?: string | null; domain?: string | null; path?: string | null; query?: string | null };
  user_agent?: { original: string | null };
  sidetap: {
    id: string;
    zone?: string;
    endpoint?: string | null;
    actor?: { ip?: string | null; session?: string[]; account?: string | null; "api-key"?: string | null; fingerprint?: string[] };
    completeness?: string[];
    anomalies?: string[];
  };
  why?: string[];
  weight?: number | null;
  [more: string]: unknown;
}

interface Body {
  bytes?: number | null;
  content?: string | null;
}

export interface PolicyRule {
  id: string;
  description: string;
  references?: string[];
  /** Null for a rule over requests: devices try it, in no order with the others. */
  priority: number | null;
  over: "verdicts" | "requests";
  when: string;
  response: string;
  ttl_s: number | null;
  enabled: boolean;
  source: string;
}

export interface Policies {
  rules: PolicyRule[];
  allow: { kind: string; value: string; reason: string }[];
  guards: Record<string, unknown>;
  fields: { name: string; type: string; description: string }[];
  text: string | null;
  path: string | null;
  editable: boolean;
  version: number;
}

export interface PolicyError {
  line: number | null;
  column: number | null;
  message: string;
  hint: string | null;
}

export interface PolicyCheck {
  ok: boolean;
  rules: number;
  errors: PolicyError[];
}

export interface Simulation {
  verdicts: number;
  responses: Record<string, { verdicts: number; requests: number; malicious_requests: number; honest_requests: number }>;
  by_rule: { rule: string; response: string; verdicts: number; requests: number; held?: string | null }[];
  requests: { was: RequestSums; would: RequestSums };
  changed: { verdict: string; subject: string | Subject; was: string; would: string; rule: string | null }[];
  changed_total: number;
  held: { why: string; verdicts: number }[];
}

/** Stored requests by who is behind them, and those that are stopped or slowed. */
export type RequestSums = Record<"malicious" | "suspicious" | "good", { requests: number; hit: number }>;

export interface PolicyVersion {
  version: number;
  at: Time;
  by: string;
  comment: string | null;
  text: string;
}

export interface Approval {
  id: number;
  at: Time;
  expires_at: Time | null;
  status: "pending" | "approved" | "rejected" | "expired" | "applied";
  kind: string;
  title: string;
  connector: string | null;
  policy: string | null;
  verdict: string | null;
  campaign: string | null;
  subject: string | null;
  response: string | null;
  asked_by: string | null;
  why: string | null;
  plan: unknown;
  decided_at: Time | null;
  decided_by: string | null;
  note: string | null;
}

/** A description of an API. */
export interface Spec {
  name: string;
  at: Time;
  by: string;
  bytes: number;
  operations: number;
  error: string | null;
}

export interface Difference {
  host: string;
  method: string;
  template: string;
  what?: string;
  calls: number;
}

export interface Conformance {
  operations: number;
  documented_endpoints: number;
  undocumented_endpoints: Difference[];
  undocumented_methods: Difference[];
  unseen_operations: Difference[];
  undocumented_parameters: Difference[];
  undocumented_statuses: Difference[];
  deprecated_calls: Difference[];
}

/** Endpoints merged, or one told from the others. */
export interface Template {
  id: number;
  kind: "merge" | "split";
  host: string;
  method: string;
  template: string;
  reason: string;
  by: string;
  at: Time;
}

/** What a template would do to one endpoint. */
export interface Reshaped {
  id: string;
  method: string;
  template: string;
  calls: number;
  what: "merge" | "split";
  becomes: string;
}

export interface IntelSource {
  name: string;
  what: string;
  configured: boolean;
  accepted: boolean;
  from: string;
  licence: string;
  entries: number | null;
  version: string | null;
  fetched: Time | null;
}

export interface IntelUpdate {
  name: string;
  outcome: string;
  detail: string;
}

export interface Device {
  name: string;
  kind: string;
  mode: string;
  configured_mode: string;
  ok: boolean | null;
  error: string | null;
  entries: number | null;
  foreign: number | null;
  wanted: number | null;
  missing: number | null;
  /** What on it is not as it should be, entries aside: a file, a table, a rule. */
  drift?: string[];
  /** Words, or which kinds of subjects it sees. */
  sees: unknown;
  can: string[];
  /** That somebody else writes under the same mark. */
  contended: { since: Time; last: Time; example: string; verdict: string; text: string } | null;
  last_push: Time | null;
  last_answer: string | null;
}

export interface Mitigation {
  mode: string;
  killed: boolean;
  devices: Device[];
}

export interface Entry {
  device: string;
  subject: string;
  response: string;
  verdict: string | null;
  policy: string | null;
  since: Time | null;
  expires_at: Time | null;
  state: string;
}

export interface AllowItem {
  id: string;
  kind: string;
  value: string;
  reason: string;
  by: string | null;
  at: Time | null;
  expires_at: Time | null;
  source: string;
  /** Convictions that it lets go; nothing where they were not counted. */
  let_go: { verdicts: number; requests: number; more: boolean } | null;
}

export interface SearchHit {
  kind: "endpoint" | "host" | "campaign" | "verdict" | "finding" | "sensitive" | "exchange";
  id: string;
  title: string;
  detail: string | null;
}

export interface Settings {
  version: string;
  listen: string | null;
  tls: boolean;
  hosts: string[];
  store: { path: string; bytes: number; limit_bytes: number };
  retention: Record<string, number | null | Record<string, number>>;
  live: boolean;
  writable: boolean;
  configuration: string | null;
}

export interface User {
  name: string;
  role: Role;
  created_at: Time;
  last_login: Time | null;
  disabled: boolean;
  sessions: number;
}

export interface Token {
  id: string;
  name: string;
  user: string;
  role: Role;
  read_only: boolean;
  created_at: Time;
  expires_at: Time | null;
  last_used: Time | null;
}
