-- What somebody should look at, or should have. Open while `resolved` is NULL and the session lives.

CREATE TABLE alerts (
    id INTEGER PRIMARY KEY, token INTEGER NOT NULL, kind TEXT NOT NULL, subject TEXT NOT NULL,
    severity TEXT NOT NULL, raised INTEGER NOT NULL, last_seen INTEGER NOT NULL, times INTEGER NOT NULL,
    resolved INTEGER, words TEXT NOT NULL,
    UNIQUE (token, kind, subject, raised)
) STRICT;

CREATE INDEX alerts_by_time ON alerts (raised);
