-- Which exchanges stand for all of a campaign or finding (`campaign:ID`, `finding:ID`), and of how many they were chosen.
CREATE TABLE samples (thing TEXT PRIMARY KEY, at INTEGER NOT NULL, seen INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE sampled (thing TEXT NOT NULL, exchange TEXT NOT NULL, PRIMARY KEY (thing, exchange)) WITHOUT ROWID;
CREATE INDEX sampled_exchange ON sampled (exchange);

-- What the site says of its APIs.
CREATE TABLE specs (name TEXT PRIMARY KEY, at INTEGER NOT NULL, by TEXT NOT NULL, text TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE shapes (
    id INTEGER PRIMARY KEY AUTOINCREMENT, host TEXT NOT NULL, method TEXT NOT NULL, template TEXT NOT NULL, reason TEXT NOT NULL,
    by TEXT NOT NULL, at INTEGER NOT NULL, UNIQUE (host, method, template)
);
