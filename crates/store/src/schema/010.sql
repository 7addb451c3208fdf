-- Endpoints that the run that had them says no more: what they were called, so that their ids lead to what goes on in their place.
CREATE TABLE former (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, zone TEXT NOT NULL, host TEXT NOT NULL, method TEXT NOT NULL,
    template TEXT NOT NULL
);
-- To which endpoint that goes on what people said of this one was carried.
ALTER TABLE notes ADD COLUMN carried TEXT;
CREATE INDEX notes_carried ON notes (carried) WHERE carried IS NOT NULL;
