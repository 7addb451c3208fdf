-- What a console that can reach no device has asked the process that can to do, and what came of it; gone once it is told.
CREATE TABLE orders (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    call TEXT NOT NULL,
    taken INTEGER NOT NULL DEFAULT 0,
    answer TEXT
);
