-- What each tracked trader holds, as last known: the rows of its last snapshot, and what changed since. The row of the coin `*` says
-- when that snapshot was; a trader without one is not known, which is not flat. Kept beside the history by the store itself,
-- whichever way a row comes in.

CREATE TABLE positions_now (
    user TEXT NOT NULL, coin TEXT NOT NULL, time INTEGER NOT NULL, change TEXT NOT NULL, szi TEXT NOT NULL,
    szi_before TEXT, known_by TEXT NOT NULL, px TEXT, entry_px TEXT,
    PRIMARY KEY (user, coin)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER positions_now AFTER INSERT ON positions BEGIN
    DELETE FROM positions_now WHERE NEW.coin = '*' AND user = NEW.user AND time < NEW.time;
    INSERT INTO positions_now (user, coin, time, change, szi, szi_before, known_by, px, entry_px)
    SELECT NEW.user, NEW.coin, NEW.time, NEW.change, NEW.szi, NEW.szi_before, NEW.known_by, NEW.px, NEW.entry_px
    WHERE NOT EXISTS (SELECT 1 FROM positions_now WHERE user = NEW.user AND coin = '*' AND time > NEW.time)
    ON CONFLICT (user, coin) DO UPDATE SET
        time = excluded.time, change = excluded.change, szi = excluded.szi, szi_before = excluded.szi_before,
        known_by = excluded.known_by, px = excluded.px, entry_px = excluded.entry_px
    WHERE excluded.time >= positions_now.time;
END;

-- `known_to`: every change up to there is in it. Where that is long ago the trader is not known any more.
CREATE VIEW positions_now_num AS SELECT
    user, coin, strftime('%Y-%m-%dT%H:%M:%fZ', time / 1000.0, 'unixepoch') AS iso, time, change,
    CAST(szi AS REAL) AS szi, CAST(szi_before AS REAL) AS szi_before, known_by, CAST(px AS REAL) AS px,
    CAST(entry_px AS REAL) AS entry_px, strftime('%Y-%m-%dT%H:%M:%fZ', edge / 1000.0, 'unixepoch') AS known_to_iso,
    edge AS known_to
FROM positions_now LEFT JOIN streams ON stream = 'positions/' || user;

-- The views of the ledger again: a stream of a trader has no coin.

DROP VIEW coverage_num;
DROP VIEW gaps_num;
DROP VIEW stream_names;

CREATE VIEW stream_names AS SELECT
    stream, kind,
    CASE WHEN kind = 'mids' OR is_of_user THEN NULL
         WHEN has_part THEN rtrim(substr(rest, 1, length(rest) - length(last)), '/') ELSE rest END AS coin,
    CASE WHEN kind = 'mids' THEN rest WHEN instr(rest, ':') > 1 THEN substr(rest, 1, instr(rest, ':') - 1) END AS dex,
    CASE WHEN has_part THEN last END AS part,
    CASE WHEN is_of_user THEN rest END AS user
FROM (SELECT
    stream, kind, rest, last,
    kind = 'candle' OR kind = 'book' AND last <> rest AND last IN ('fast', '5', '4', '3') AS has_part,
    length(rest) = 42 AND substr(rest, 1, 2) = '0x' AS is_of_user
FROM (SELECT
    stream, kind, rest, substr(rest, length(rtrim(rest, replace(rest, '/', ''))) + 1) AS last
FROM (SELECT
    stream,
    CASE WHEN instr(stream, '/') = 0 THEN stream ELSE substr(stream, 1, instr(stream, '/') - 1) END AS kind,
    CASE WHEN instr(stream, '/') > 0 THEN substr(stream, instr(stream, '/') + 1) END AS rest
FROM streams)));

CREATE VIEW coverage_num AS SELECT
    stream, kind, coin, dex, part, user, strftime('%Y-%m-%dT%H:%M:%fZ', from_time / 1000.0, 'unixepoch') AS from_iso,
    strftime('%Y-%m-%dT%H:%M:%fZ', to_time / 1000.0, 'unixepoch') AS to_iso, from_time, to_time,
    (to_time - from_time) / 1000.0 AS seconds, source, epoch, rows
FROM coverage LEFT JOIN stream_names USING (stream);

CREATE VIEW gaps_num AS SELECT
    stream, kind, coin, dex, part, user, strftime('%Y-%m-%dT%H:%M:%fZ', from_time / 1000.0, 'unixepoch') AS from_iso,
    strftime('%Y-%m-%dT%H:%M:%fZ', to_time / 1000.0, 'unixepoch') AS to_iso, from_time, to_time,
    (to_time - from_time) / 1000.0 AS seconds, cause, state,
    strftime('%Y-%m-%dT%H:%M:%fZ', opened_at / 1000.0, 'unixepoch') AS opened_iso
FROM gaps LEFT JOIN stream_names USING (stream);
