CREATE TABLE runs (
    id TEXT PRIMARY KEY,
    saved_at INTEGER NOT NULL,
    first_ts INTEGER,
    last_ts INTEGER,
    summary TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE endpoints (id TEXT NOT NULL, run TEXT NOT NULL, last_seen INTEGER NOT NULL, row TEXT NOT NULL, PRIMARY KEY (id, run)) WITHOUT ROWID;
CREATE TABLE sensitive (id TEXT NOT NULL, run TEXT NOT NULL, last_seen INTEGER NOT NULL, row TEXT NOT NULL, PRIMARY KEY (id, run)) WITHOUT ROWID;
CREATE TABLE findings (id TEXT NOT NULL, run TEXT NOT NULL, last_seen INTEGER NOT NULL, row TEXT NOT NULL, PRIMARY KEY (id, run)) WITHOUT ROWID;
CREATE TABLE campaigns (id TEXT NOT NULL, run TEXT NOT NULL, last_seen INTEGER NOT NULL, row TEXT NOT NULL, PRIMARY KEY (id, run)) WITHOUT ROWID;
CREATE TABLE verdicts (id TEXT NOT NULL, run TEXT NOT NULL, last_seen INTEGER NOT NULL, row TEXT NOT NULL, PRIMARY KEY (id, run)) WITHOUT ROWID;
CREATE INDEX endpoints_run ON endpoints (run);
CREATE INDEX sensitive_run ON sensitive (run);
CREATE INDEX findings_run ON findings (run);
CREATE INDEX campaigns_run ON campaigns (run);
CREATE INDEX verdicts_run ON verdicts (run);

CREATE TABLE members (
    campaign TEXT NOT NULL,
    run TEXT NOT NULL,
    kind TEXT NOT NULL,
    value TEXT NOT NULL,
    first_seen INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    PRIMARY KEY (campaign, run, kind, value)
) WITHOUT ROWID;
CREATE INDEX members_value ON members (kind, value);

CREATE TABLE traffic (
    run TEXT NOT NULL,
    ts INTEGER NOT NULL,
    benign INTEGER NOT NULL,
    automated INTEGER NOT NULL,
    suspicious INTEGER NOT NULL,
    malicious INTEGER NOT NULL,
    PRIMARY KEY (run, ts)
) WITHOUT ROWID;

CREATE TABLE actions (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    connector TEXT NOT NULL,
    verdict TEXT,
    row TEXT NOT NULL
);
CREATE INDEX actions_verdict ON actions (verdict);

CREATE TABLE audit (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    detail TEXT NOT NULL
);
CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;
CREATE TRIGGER audit_is_not_removed BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;

CREATE TABLE evidence (id TEXT PRIMARY KEY, at INTEGER NOT NULL, bytes INTEGER NOT NULL, row TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX evidence_at ON evidence (at);

CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE states (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
