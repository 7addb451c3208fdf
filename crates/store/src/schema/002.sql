-- What is known now: rows of all runs merged, with columns to filter and sort by. `row` is null where one run alone has it.
CREATE TABLE now_endpoints (
    id TEXT PRIMARY KEY, zone TEXT NOT NULL, host TEXT NOT NULL, method TEXT NOT NULL, template TEXT NOT NULL, protocol TEXT NOT NULL,
    standing TEXT NOT NULL, exposure TEXT NOT NULL, risk INTEGER NOT NULL, calls INTEGER NOT NULL, first_seen INTEGER NOT NULL,
    last_seen INTEGER NOT NULL, auth TEXT NOT NULL, roles TEXT NOT NULL, channels TEXT NOT NULL, types TEXT NOT NULL, aliases TEXT NOT NULL, row TEXT
);
CREATE INDEX now_endpoints_host ON now_endpoints (host);
CREATE INDEX now_endpoints_risk ON now_endpoints (risk, id);
CREATE INDEX now_endpoints_calls ON now_endpoints (calls, id);
CREATE INDEX now_endpoints_last ON now_endpoints (last_seen, id);

CREATE TABLE now_sensitive (
    id TEXT PRIMARY KEY, sid TEXT NOT NULL UNIQUE, endpoint TEXT NOT NULL, host TEXT NOT NULL, method TEXT NOT NULL, type TEXT NOT NULL, class TEXT NOT NULL,
    direction TEXT NOT NULL, location TEXT NOT NULL, confidence REAL NOT NULL, count INTEGER NOT NULL, first_seen INTEGER NOT NULL, row TEXT
);
CREATE INDEX now_sensitive_endpoint ON now_sensitive (endpoint);
CREATE INDEX now_sensitive_count ON now_sensitive (count, id);

CREATE TABLE now_findings (
    id TEXT PRIMARY KEY, kind TEXT NOT NULL, rule TEXT NOT NULL, severity TEXT NOT NULL, rank INTEGER NOT NULL, certainty TEXT NOT NULL,
    owasp TEXT NOT NULL, endpoint TEXT NOT NULL, host TEXT NOT NULL, ip TEXT NOT NULL, title TEXT NOT NULL, first_seen INTEGER NOT NULL,
    last_seen INTEGER NOT NULL, count INTEGER NOT NULL, row TEXT
);
CREATE INDEX now_findings_rank ON now_findings (rank, id);
CREATE INDEX now_findings_endpoint ON now_findings (endpoint);
CREATE INDEX now_findings_host ON now_findings (host);
CREATE INDEX now_findings_last ON now_findings (last_seen, id);

CREATE TABLE now_campaigns (
    id TEXT PRIMARY KEY, class TEXT NOT NULL, oat TEXT NOT NULL, score INTEGER NOT NULL, phase TEXT NOT NULL, first_seen INTEGER NOT NULL,
    detected_at INTEGER NOT NULL, last_seen INTEGER NOT NULL, requests INTEGER NOT NULL, members INTEGER NOT NULL, endpoints TEXT NOT NULL,
    hosts TEXT NOT NULL, brief TEXT NOT NULL, row TEXT
);
CREATE INDEX now_campaigns_score ON now_campaigns (score, id);
CREATE INDEX now_campaigns_last ON now_campaigns (last_seen, id);

CREATE TABLE now_verdicts (
    id TEXT PRIMARY KEY, zone TEXT NOT NULL, kind TEXT NOT NULL, subject TEXT NOT NULL, intent TEXT NOT NULL, class TEXT NOT NULL, oat TEXT NOT NULL,
    score INTEGER NOT NULL, automation INTEGER NOT NULL, campaign TEXT NOT NULL, phase TEXT NOT NULL, first_seen INTEGER NOT NULL,
    detected_at INTEGER NOT NULL, last_seen INTEGER NOT NULL, requests INTEGER NOT NULL, response TEXT NOT NULL, policy TEXT NOT NULL,
    country TEXT NOT NULL, organization TEXT NOT NULL, ips TEXT NOT NULL, hosts TEXT NOT NULL, indicators TEXT NOT NULL, row TEXT
);
CREATE INDEX now_verdicts_score ON now_verdicts (score, id);
CREATE INDEX now_verdicts_last ON now_verdicts (last_seen, id);
CREATE INDEX now_verdicts_campaign ON now_verdicts (campaign);
CREATE INDEX now_verdicts_intent ON now_verdicts (intent, class);

-- What the search looks through.
CREATE TABLE things (n INTEGER PRIMARY KEY, kind TEXT NOT NULL, id TEXT NOT NULL, title TEXT NOT NULL, detail TEXT NOT NULL, UNIQUE (kind, id));
CREATE VIRTUAL TABLE search USING fts5(title, detail, content='things', content_rowid='n', tokenize='trigram');
INSERT INTO search(search, rank) VALUES ('secure-delete', 1);
CREATE TRIGGER things_added AFTER INSERT ON things BEGIN
    INSERT INTO search(rowid, title, detail) VALUES (new.n, new.title, new.detail);
END;
CREATE TRIGGER things_removed AFTER DELETE ON things BEGIN
    INSERT INTO search(search, rowid, title, detail) VALUES ('delete', old.n, old.title, old.detail);
END;
CREATE TRIGGER things_changed AFTER UPDATE ON things BEGIN
    INSERT INTO search(search, rowid, title, detail) VALUES ('delete', old.n, old.title, old.detail);
    INSERT INTO search(rowid, title, detail) VALUES (new.n, new.title, new.detail);
END;

-- What changed in what is known.
CREATE TABLE history (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, kind TEXT NOT NULL, id TEXT NOT NULL, change TEXT NOT NULL, title TEXT NOT NULL,
    host TEXT NOT NULL, before TEXT, after TEXT
);
CREATE INDEX history_at ON history (at, seq);
CREATE INDEX history_thing ON history (kind, id);

-- Calls of endpoints over time.
CREATE TABLE calls (run TEXT NOT NULL, endpoint TEXT NOT NULL, ts INTEGER NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (endpoint, ts, run)) WITHOUT ROWID;
CREATE INDEX calls_run ON calls (run);

-- What people say of things, and what is done about findings.
CREATE TABLE notes (kind TEXT NOT NULL, id TEXT NOT NULL, labels TEXT NOT NULL, owner TEXT, note TEXT, PRIMARY KEY (kind, id)) WITHOUT ROWID;
CREATE TABLE work (
    finding TEXT PRIMARY KEY, status TEXT NOT NULL, assignee TEXT, expires_at INTEGER, note TEXT, seen INTEGER NOT NULL,
    updated_at INTEGER NOT NULL, updated_by TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE work_log (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, finding TEXT NOT NULL, at INTEGER NOT NULL, by TEXT NOT NULL, status TEXT NOT NULL, assignee TEXT,
    expires_at INTEGER, note TEXT
);
CREATE INDEX work_log_finding ON work_log (finding);
CREATE TABLE taught (rule TEXT NOT NULL, endpoint TEXT NOT NULL, at INTEGER NOT NULL, by TEXT NOT NULL, note TEXT, PRIMARY KEY (rule, endpoint)) WITHOUT ROWID;

CREATE TABLE allowed (
    id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, value TEXT NOT NULL, reason TEXT NOT NULL, by TEXT NOT NULL, at INTEGER NOT NULL,
    expires_at INTEGER, UNIQUE (kind, value)
);

-- Who may log in.
CREATE TABLE users (
    name TEXT PRIMARY KEY, role TEXT NOT NULL, password TEXT NOT NULL, created_at INTEGER NOT NULL, last_login INTEGER, disabled INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE sessions (
    hash BLOB PRIMARY KEY, user TEXT NOT NULL, csrf TEXT NOT NULL, created_at INTEGER NOT NULL, expires_at INTEGER NOT NULL, used_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX sessions_user ON sessions (user);
CREATE TABLE tokens (
    id TEXT PRIMARY KEY, hash BLOB NOT NULL UNIQUE, user TEXT NOT NULL, name TEXT NOT NULL, role TEXT NOT NULL, read_only INTEGER NOT NULL,
    created_at INTEGER NOT NULL, expires_at INTEGER, used_at INTEGER
) WITHOUT ROWID;

ALTER TABLE evidence ADD COLUMN weight INTEGER NOT NULL DEFAULT 1;
ALTER TABLE evidence ADD COLUMN why TEXT NOT NULL DEFAULT '[]';
CREATE INDEX actions_at ON actions (at);
CREATE INDEX audit_at ON audit (at);
