-- The archive. Only the parts in this table count, whatever else lies in the archive's folder; one without a path says
-- that rows were deleted as their retention said. A claim is on one day of one stream, by the session of its epoch.

CREATE TABLE archive_parts (
    stream TEXT NOT NULL, day TEXT NOT NULL, number INTEGER NOT NULL, path TEXT, rows INTEGER NOT NULL,
    first_time INTEGER NOT NULL, last_time INTEGER NOT NULL, bytes INTEGER NOT NULL, checksum TEXT NOT NULL,
    epoch INTEGER NOT NULL, written_at INTEGER NOT NULL,
    PRIMARY KEY (stream, day, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE archive_claims (
    stream TEXT NOT NULL, day TEXT NOT NULL, epoch INTEGER NOT NULL, since INTEGER NOT NULL,
    PRIMARY KEY (stream, day)
) STRICT, WITHOUT ROWID;
