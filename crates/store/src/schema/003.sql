CREATE TABLE approvals (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    verdict TEXT NOT NULL,
    state TEXT NOT NULL,
    decided_at INTEGER,
    decided_by TEXT,
    row TEXT NOT NULL
);
CREATE INDEX approvals_verdict ON approvals (verdict, state);

CREATE TABLE cells (
    run TEXT NOT NULL,
    hour INTEGER NOT NULL,
    cell TEXT NOT NULL,
    requests INTEGER NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    PRIMARY KEY (run, hour, cell)
) WITHOUT ROWID;
