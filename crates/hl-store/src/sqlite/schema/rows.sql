-- Rows. Prices and sizes are the exact decimals of the exchange as text; times are exchange milliseconds, UTC.
-- `source` is ws, rest, backfill or import; `epoch` is the claim that wrote the row: lease token << 32 | number.

CREATE TABLE trades (
    coin TEXT NOT NULL, time INTEGER NOT NULL, tid INTEGER NOT NULL,
    px TEXT NOT NULL, sz TEXT NOT NULL, side TEXT NOT NULL,
    hash TEXT NOT NULL, buyer TEXT NOT NULL, seller TEXT NOT NULL,
    source TEXT NOT NULL, epoch INTEGER NOT NULL,
    PRIMARY KEY (coin, time, tid)
) STRICT, WITHOUT ROWID;

CREATE TABLE books (
    coin TEXT NOT NULL, variant TEXT NOT NULL, time INTEGER NOT NULL,
    bids TEXT NOT NULL, asks TEXT NOT NULL,
    source TEXT NOT NULL, epoch INTEGER NOT NULL,
    PRIMARY KEY (coin, variant, time)
) STRICT;

CREATE TABLE bbo (
    coin TEXT NOT NULL, time INTEGER NOT NULL,
    bid_px TEXT, bid_sz TEXT, bid_n INTEGER, ask_px TEXT, ask_sz TEXT, ask_n INTEGER,
    source TEXT NOT NULL, epoch INTEGER NOT NULL,
    PRIMARY KEY (coin, time)
) STRICT, WITHOUT ROWID;

CREATE TABLE candles (
    coin TEXT NOT NULL, interval TEXT NOT NULL, time INTEGER NOT NULL,
    open TEXT NOT NULL, high TEXT NOT NULL, low TEXT NOT NULL, close TEXT NOT NULL,
    volume TEXT NOT NULL, trades INTEGER NOT NULL, final INTEGER NOT NULL,
    source TEXT NOT NULL, epoch INTEGER NOT NULL,
    PRIMARY KEY (coin, interval, time)
) STRICT, WITHOUT ROWID;

CREATE TABLE mids (
    coin TEXT NOT NULL, time INTEGER NOT NULL, px TEXT NOT NULL,
    source TEXT NOT NULL, epoch INTEGER NOT NULL,
    PRIMARY KEY (coin, time)
) STRICT, WITHOUT ROWID;

CREATE TABLE contexts (
    coin TEXT NOT NULL, time INTEGER NOT NULL,
    mark_px TEXT NOT NULL, mid_px TEXT, oracle_px TEXT, prev_day_px TEXT NOT NULL,
    funding TEXT, open_interest TEXT, premium TEXT,
    day_ntl_vlm TEXT NOT NULL, day_base_vlm TEXT NOT NULL, impact_bid TEXT, impact_ask TEXT,
    source TEXT NOT NULL, epoch INTEGER NOT NULL,
    PRIMARY KEY (coin, time)
) STRICT, WITHOUT ROWID;

CREATE TABLE funding (
    coin TEXT NOT NULL, time INTEGER NOT NULL, rate TEXT NOT NULL, premium TEXT NOT NULL,
    source TEXT NOT NULL, epoch INTEGER NOT NULL,
    PRIMARY KEY (coin, time)
) STRICT, WITHOUT ROWID;

-- The ledger. The past below a stream's edge is settled: every piece of it is covered or a gap.

CREATE TABLE streams (
    stream TEXT NOT NULL PRIMARY KEY, edge INTEGER, token INTEGER, leased_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE coverage (
    stream TEXT NOT NULL, from_time INTEGER NOT NULL, to_time INTEGER NOT NULL,
    source TEXT NOT NULL, epoch INTEGER NOT NULL, rows INTEGER NOT NULL,
    PRIMARY KEY (stream, epoch, source, from_time)
) STRICT, WITHOUT ROWID;
CREATE INDEX coverage_by_time ON coverage (stream, to_time, from_time);

CREATE TABLE gaps (
    id INTEGER PRIMARY KEY,
    stream TEXT NOT NULL, from_time INTEGER NOT NULL, to_time INTEGER NOT NULL,
    cause TEXT NOT NULL, state TEXT NOT NULL,
    opened_at INTEGER NOT NULL, closed_at INTEGER, claim INTEGER
) STRICT;
CREATE INDEX gaps_by_time ON gaps (stream, to_time, from_time);
CREATE INDEX gaps_open ON gaps (stream, from_time, to_time) WHERE state = 'open';
CREATE INDEX gaps_claimed ON gaps (claim) WHERE claim IS NOT NULL;

-- Processes, request weight of the last 60 s by address, and small texts.

CREATE TABLE sessions (
    token INTEGER PRIMARY KEY, pid INTEGER NOT NULL, host TEXT NOT NULL, role TEXT NOT NULL,
    since INTEGER NOT NULL
) STRICT;
CREATE TABLE token_counter (id INTEGER PRIMARY KEY CHECK (id = 1), last INTEGER NOT NULL) STRICT;
INSERT INTO token_counter VALUES (1, 0);

CREATE TABLE weight (
    id INTEGER PRIMARY KEY, address TEXT NOT NULL, at INTEGER NOT NULL, weight INTEGER NOT NULL
) STRICT;
CREATE INDEX weight_by_time ON weight (address, at, weight);

CREATE TABLE notes (
    name TEXT NOT NULL PRIMARY KEY, text TEXT NOT NULL, updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The same rows for charts and data frames: numbers as floating point, times as ISO text beside the milliseconds.

CREATE VIEW trades_num AS SELECT
    coin, strftime('%Y-%m-%dT%H:%M:%fZ', time / 1000.0, 'unixepoch') AS iso, time, tid,
    CAST(px AS REAL) AS px, CAST(sz AS REAL) AS sz, side, hash, buyer, seller, source, epoch
FROM trades;

CREATE VIEW books_num AS SELECT
    coin, variant, iso, time, bid, bid_sz, ask, ask_sz, ask - bid AS spread, (ask + bid) / 2 AS mid, source, epoch
FROM (SELECT
    coin, variant, strftime('%Y-%m-%dT%H:%M:%fZ', time / 1000.0, 'unixepoch') AS iso, time,
    CAST(bids ->> '$[0][0]' AS REAL) AS bid, CAST(bids ->> '$[0][1]' AS REAL) AS bid_sz,
    CAST(asks ->> '$[0][0]' AS REAL) AS ask, CAST(asks ->> '$[0][1]' AS REAL) AS ask_sz, source, epoch
FROM books);

CREATE VIEW bbo_num AS SELECT
    coin, iso, time, bid, bid_sz, bid_n, ask, ask_sz, ask_n, ask - bid AS spread, (ask + bid) / 2 AS mid, source,
    epoch
FROM (SELECT
    coin, strftime('%Y-%m-%dT%H:%M:%fZ', time / 1000.0, 'unixepoch') AS iso, time,
    CAST(bid_px AS REAL) AS bid, CAST(bid_sz AS REAL) AS bid_sz, bid_n,
    CAST(ask_px AS REAL) AS ask, CAST(ask_sz AS REAL) AS ask_sz, ask_n, source, epoch
FROM bbo);

CREATE VIEW candles_num AS SELECT
    coin, interval, strftime('%Y-%m-%dT%H:%M:%fZ', time / 1000.0, 'unixepoch') AS iso, time,
    CAST(open AS REAL) AS open, CAST(high AS REAL) AS high, CAST(low AS REAL) AS low, CAST(close AS REAL) AS close,
    CAST(volume AS REAL) AS volume, trades, final, source, epoch
FROM candles;

-- Longer bars from final one-minute bars. `minutes` says how many of them the bar has: minutes without trades have none,
-- and neither have minutes inside a gap, so compare with the coverage before trusting a bar.
CREATE VIEW candles_derived_num AS SELECT DISTINCT
    coin, name AS interval, strftime('%Y-%m-%dT%H:%M:%fZ', start / 1000.0, 'unixepoch') AS iso, start AS time,
    first_value(open) OVER bar AS open, max(high) OVER bar AS high, min(low) OVER bar AS low,
    last_value(close) OVER bar AS close, sum(volume) OVER bar AS volume, sum(trades) OVER bar AS trades,
    count(*) OVER bar AS minutes
FROM (SELECT
    coin, longer.column1 AS name, time - time % longer.column2 AS start, time, trades,
    CAST(open AS REAL) AS open, CAST(high AS REAL) AS high, CAST(low AS REAL) AS low, CAST(close AS REAL) AS close,
    CAST(volume AS REAL) AS volume
FROM candles, (VALUES ('5m', 300000), ('15m', 900000), ('30m', 1800000), ('1h', 3600000), ('4h', 14400000),
                      ('1d', 86400000)) AS longer
WHERE interval = '1m' AND final = 1)
WINDOW bar AS (PARTITION BY coin, name, start ORDER BY time
               ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING);

CREATE VIEW mids_num AS SELECT
    coin, strftime('%Y-%m-%dT%H:%M:%fZ', time / 1000.0, 'unixepoch') AS iso, time,
    CAST(px AS REAL) AS px, source, epoch
FROM mids;

CREATE VIEW contexts_num AS SELECT
    coin, strftime('%Y-%m-%dT%H:%M:%fZ', time / 1000.0, 'unixepoch') AS iso, time,
    CAST(mark_px AS REAL) AS mark_px, CAST(mid_px AS REAL) AS mid_px, CAST(oracle_px AS REAL) AS oracle_px,
    CAST(prev_day_px AS REAL) AS prev_day_px, CAST(funding AS REAL) AS funding,
    CAST(open_interest AS REAL) AS open_interest, CAST(premium AS REAL) AS premium,
    CAST(day_ntl_vlm AS REAL) AS day_ntl_vlm, CAST(day_base_vlm AS REAL) AS day_base_vlm,
    CAST(impact_bid AS REAL) AS impact_bid, CAST(impact_ask AS REAL) AS impact_ask, source, epoch
FROM contexts;

CREATE VIEW funding_num AS SELECT
    coin, strftime('%Y-%m-%dT%H:%M:%fZ', time / 1000.0, 'unixepoch') AS iso, time,
    CAST(rate AS REAL) AS rate, CAST(premium AS REAL) AS premium, source, epoch
FROM funding;
