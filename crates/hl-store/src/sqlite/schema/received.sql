-- When each row was received, and its place among the rows of its stream and time: `ORDER BY time, seq` is the order of the
-- exchange. `received` is nanoseconds, UTC; NULL where the row was not new then (a backfill, an import, a poll, what a
-- subscription begins with), `seq` where its place is not known. Rows of earlier releases have neither.

ALTER TABLE trades ADD COLUMN received INTEGER;
ALTER TABLE trades ADD COLUMN seq INTEGER;
ALTER TABLE books ADD COLUMN received INTEGER;
ALTER TABLE books ADD COLUMN seq INTEGER;
ALTER TABLE bbo ADD COLUMN received INTEGER;
ALTER TABLE bbo ADD COLUMN seq INTEGER;
ALTER TABLE candles ADD COLUMN received INTEGER;
ALTER TABLE candles ADD COLUMN seq INTEGER;
ALTER TABLE mids ADD COLUMN received INTEGER;
ALTER TABLE mids ADD COLUMN seq INTEGER;
ALTER TABLE contexts ADD COLUMN received INTEGER;
ALTER TABLE contexts ADD COLUMN seq INTEGER;
ALTER TABLE funding ADD COLUMN received INTEGER;
ALTER TABLE funding ADD COLUMN seq INTEGER;

-- The views again, with these columns, and with the names that the tables have.

DROP VIEW trades_num;
DROP VIEW books_num;
DROP VIEW bbo_num;
DROP VIEW candles_num;
DROP VIEW mids_num;
DROP VIEW contexts_num;
DROP VIEW funding_num;

CREATE VIEW trades_num AS SELECT
    coin, strftime('%Y-%m-%dT%H:%M:%fZ', time / 1000.0, 'unixepoch') AS iso, time, tid,
    CAST(px AS REAL) AS px, CAST(sz AS REAL) AS sz, side, hash, buyer, seller, source, epoch, received, seq
FROM trades;

-- Of the levels the best.
CREATE VIEW books_num AS SELECT
    coin, variant, iso, time, bid_px, bid_sz, ask_px, ask_sz, ask_px - bid_px AS spread, (ask_px + bid_px) / 2 AS mid,
    source, epoch, received, seq
FROM (SELECT
    coin, variant, strftime('%Y-%m-%dT%H:%M:%fZ', time / 1000.0, 'unixepoch') AS iso, time,
    CAST(bids ->> '$[0][0]' AS REAL) AS bid_px, CAST(bids ->> '$[0][1]' AS REAL) AS bid_sz,
    CAST(asks ->> '$[0][0]' AS REAL) AS ask_px, CAST(asks ->> '$[0][1]' AS REAL) AS ask_sz, source, epoch, received, seq
FROM books);

CREATE VIEW bbo_num AS SELECT
    coin, iso, time, bid_px, bid_sz, bid_n, ask_px, ask_sz, ask_n, ask_px - bid_px AS spread, (ask_px + bid_px) / 2 AS mid,
    source, epoch, received, seq
FROM (SELECT
    coin, strftime('%Y-%m-%dT%H:%M:%fZ', time / 1000.0, 'unixepoch') AS iso, time,
    CAST(bid_px AS REAL) AS bid_px, CAST(bid_sz AS REAL) AS bid_sz, bid_n,
    CAST(ask_px AS REAL) AS ask_px, CAST(ask_sz AS REAL) AS ask_sz, ask_n, source, epoch, received, seq
FROM bbo);

CREATE VIEW candles_num AS SELECT
    coin, interval, strftime('%Y-%m-%dT%H:%M:%fZ', time / 1000.0, 'unixepoch') AS iso, time,
    CAST(open AS REAL) AS open, CAST(high AS REAL) AS high, CAST(low AS REAL) AS low, CAST(close AS REAL) AS close,
    CAST(volume AS REAL) AS volume, trades, final, source, epoch, received, seq
FROM candles;

CREATE VIEW mids_num AS SELECT
    coin, strftime('%Y-%m-%dT%H:%M:%fZ', time / 1000.0, 'unixepoch') AS iso, time,
    CAST(px AS REAL) AS px, source, epoch, received, seq
FROM mids;

CREATE VIEW contexts_num AS SELECT
    coin, strftime('%Y-%m-%dT%H:%M:%fZ', time / 1000.0, 'unixepoch') AS iso, time,
    CAST(mark_px AS REAL) AS mark_px, CAST(mid_px AS REAL) AS mid_px, CAST(oracle_px AS REAL) AS oracle_px,
    CAST(prev_day_px AS REAL) AS prev_day_px, CAST(funding AS REAL) AS funding,
    CAST(open_interest AS REAL) AS open_interest, CAST(premium AS REAL) AS premium,
    CAST(day_ntl_vlm AS REAL) AS day_ntl_vlm, CAST(day_base_vlm AS REAL) AS day_base_vlm,
    CAST(impact_bid AS REAL) AS impact_bid, CAST(impact_ask AS REAL) AS impact_ask, source, epoch, received, seq
FROM contexts;

CREATE VIEW funding_num AS SELECT
    coin, strftime('%Y-%m-%dT%H:%M:%fZ', time / 1000.0, 'unixepoch') AS iso, time,
    CAST(rate AS REAL) AS rate, CAST(premium AS REAL) AS premium, source, epoch, received, seq
FROM funding;

-- The ledger with what the name of a stream is made of: its kind, its coin, and what it has of its own (the interval of bars,
-- the variant of a book).

CREATE VIEW stream_names AS SELECT
    stream, kind,
    CASE WHEN has_part THEN rtrim(substr(rest, 1, length(rest) - length(last)), '/') ELSE rest END AS coin,
    CASE WHEN has_part THEN last END AS part
FROM (SELECT
    stream, kind, rest, last,
    kind = 'candle' OR kind = 'book' AND last <> rest AND last IN ('fast', '5', '4', '3') AS has_part
FROM (SELECT
    stream, kind, rest, substr(rest, length(rtrim(rest, replace(rest, '/', ''))) + 1) AS last
FROM (SELECT
    stream,
    CASE WHEN instr(stream, '/') = 0 THEN stream ELSE substr(stream, 1, instr(stream, '/') - 1) END AS kind,
    CASE WHEN instr(stream, '/') > 0 THEN substr(stream, instr(stream, '/') + 1) END AS rest
FROM streams)));

CREATE VIEW coverage_num AS SELECT
    stream, kind, coin, part, strftime('%Y-%m-%dT%H:%M:%fZ', from_time / 1000.0, 'unixepoch') AS from_iso,
    strftime('%Y-%m-%dT%H:%M:%fZ', to_time / 1000.0, 'unixepoch') AS to_iso, from_time, to_time,
    (to_time - from_time) / 1000.0 AS seconds, source, epoch, rows
FROM coverage LEFT JOIN stream_names USING (stream);

CREATE VIEW gaps_num AS SELECT
    stream, kind, coin, part, strftime('%Y-%m-%dT%H:%M:%fZ', from_time / 1000.0, 'unixepoch') AS from_iso,
    strftime('%Y-%m-%dT%H:%M:%fZ', to_time / 1000.0, 'unixepoch') AS to_iso, from_time, to_time,
    (to_time - from_time) / 1000.0 AS seconds, cause, state,
    strftime('%Y-%m-%dT%H:%M:%fZ', opened_at / 1000.0, 'unixepoch') AS opened_iso
FROM gaps LEFT JOIN stream_names USING (stream);
