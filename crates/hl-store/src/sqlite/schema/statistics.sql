-- Daily statistics of the exchange. `subject` is the coin or the user, empty where a figure is of the whole exchange; values are
-- floating point at the exchange already, amounts in USD. `day` is its first millisecond, UTC.

CREATE TABLE statistics (
    series TEXT NOT NULL, day INTEGER NOT NULL, subject TEXT NOT NULL, name TEXT NOT NULL, value REAL NOT NULL,
    PRIMARY KEY (series, day, subject, name)
) STRICT, WITHOUT ROWID;

-- Up to which day a series is complete.
CREATE TABLE statistics_series (
    series TEXT NOT NULL PRIMARY KEY, through INTEGER NOT NULL, read_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE VIEW statistics_num AS SELECT
    series, strftime('%Y-%m-%d', day / 1000.0, 'unixepoch') AS iso, day, subject, name, value
FROM statistics;
