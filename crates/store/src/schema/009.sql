-- What the console beside a run has asked the process of that run to do that can reach devices, and what came of it; gone once it is
-- told.
CREATE TABLE orders (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    run TEXT NOT NULL,
    call TEXT NOT NULL,
    taken INTEGER NOT NULL DEFAULT 0,
    answer TEXT
);
