-- Which runs go on, and whom they still have to forget: what a run has in its memory it would write anew. A name stands here until it
-- is forgotten there.
CREATE TABLE watchers (run TEXT PRIMARY KEY, at INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE forgets (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    run TEXT NOT NULL,
    kind TEXT NOT NULL,
    value TEXT NOT NULL,
    acted INTEGER NOT NULL DEFAULT 0
);
-- Verdicts that were forgotten, while devices may still hold what came of them: taking that back is told without the name.
CREATE TABLE forgotten (verdict TEXT PRIMARY KEY, at INTEGER NOT NULL) WITHOUT ROWID;
