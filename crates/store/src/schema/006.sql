-- Rows of many kilobytes are not carried in the nodes of a tree by name: those hold the names, and the row lies beside them.
ALTER TABLE endpoints RENAME TO old_endpoints;
CREATE TABLE endpoints (id TEXT NOT NULL, run TEXT NOT NULL, last_seen INTEGER NOT NULL, row TEXT NOT NULL, PRIMARY KEY (id, run));
INSERT INTO endpoints SELECT id, run, last_seen, row FROM old_endpoints;
DROP TABLE old_endpoints;
ALTER TABLE sensitive RENAME TO old_sensitive;
CREATE TABLE sensitive (id TEXT NOT NULL, run TEXT NOT NULL, last_seen INTEGER NOT NULL, row TEXT NOT NULL, PRIMARY KEY (id, run));
INSERT INTO sensitive SELECT id, run, last_seen, row FROM old_sensitive;
DROP TABLE old_sensitive;
ALTER TABLE findings RENAME TO old_findings;
CREATE TABLE findings (id TEXT NOT NULL, run TEXT NOT NULL, last_seen INTEGER NOT NULL, row TEXT NOT NULL, PRIMARY KEY (id, run));
INSERT INTO findings SELECT id, run, last_seen, row FROM old_findings;
DROP TABLE old_findings;
ALTER TABLE campaigns RENAME TO old_campaigns;
CREATE TABLE campaigns (id TEXT NOT NULL, run TEXT NOT NULL, last_seen INTEGER NOT NULL, row TEXT NOT NULL, PRIMARY KEY (id, run));
INSERT INTO campaigns SELECT id, run, last_seen, row FROM old_campaigns;
DROP TABLE old_campaigns;
ALTER TABLE verdicts RENAME TO old_verdicts;
CREATE TABLE verdicts (id TEXT NOT NULL, run TEXT NOT NULL, last_seen INTEGER NOT NULL, row TEXT NOT NULL, PRIMARY KEY (id, run));
INSERT INTO verdicts SELECT id, run, last_seen, row FROM old_verdicts;
DROP TABLE old_verdicts;
-- Those of a run, the oldest first.
CREATE INDEX endpoints_run ON endpoints (run, last_seen);
CREATE INDEX sensitive_run ON sensitive (run, last_seen);
CREATE INDEX findings_run ON findings (run, last_seen);
CREATE INDEX campaigns_run ON campaigns (run, last_seen);
CREATE INDEX verdicts_run ON verdicts (run, last_seen);
DROP INDEX calls_run;
CREATE INDEX calls_run ON calls (run, ts);

ALTER TABLE evidence RENAME TO old_evidence;
CREATE TABLE evidence (
    id TEXT PRIMARY KEY, at INTEGER NOT NULL, bytes INTEGER NOT NULL, row TEXT NOT NULL, weight INTEGER NOT NULL DEFAULT 1,
    why TEXT NOT NULL DEFAULT '[]'
);
INSERT INTO evidence SELECT id, at, bytes, row, weight, why FROM old_evidence;
DROP TABLE old_evidence;
CREATE INDEX evidence_at ON evidence (at, id, bytes);

-- Where verdicts were seen, address by address (`i` and its bits in hexadecimal) and endpoint by endpoint (`h` and the place).
CREATE TABLE verdict_at (place TEXT NOT NULL, id TEXT NOT NULL, PRIMARY KEY (place, id)) WITHOUT ROWID;
CREATE INDEX now_verdicts_class ON now_verdicts (class);

-- Rows without what they belong to.
DELETE FROM calls WHERE endpoint NOT IN (SELECT id FROM now_endpoints);
DELETE FROM members WHERE NOT EXISTS (SELECT 1 FROM campaigns c WHERE c.id = campaign AND c.run = members.run);

-- What the search looks through is numbered by kind, so that it can look through one kind alone; it is filled anew.
DROP TRIGGER things_added;
DROP TRIGGER things_removed;
DROP TRIGGER things_changed;
DROP TABLE search;
DELETE FROM things;
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

-- Packs of rules that were saved, each by itself; the text of old ones goes.
CREATE TABLE packs (version INTEGER PRIMARY KEY, at INTEGER NOT NULL, by TEXT NOT NULL, comment TEXT NOT NULL, text TEXT);
INSERT OR REPLACE INTO packs
    SELECT p.value ->> 'version', coalesce(unixepoch(p.value ->> 'at'), 0) * 1000000000, coalesce(p.value ->> 'by', ''),
        coalesce(p.value ->> 'comment', ''), p.value ->> 'text'
    FROM states s, json_each(CAST(s.value AS TEXT)) p WHERE s.name = 'policy.versions' AND p.value ->> 'version' IS NOT NULL;
DELETE FROM states WHERE name = 'policy.versions';
