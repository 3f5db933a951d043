-- Streams of a dex as a whole (`mids/xyz`): rows of `mids` may be of any dex from here on, which their coins tell. An earlier
-- release would take all of them for its one stream, and so does not open this schema.

-- The views of the ledger again, with the dex that a builder runs. A stream of a whole dex has no coin.

DROP VIEW coverage_num;
DROP VIEW gaps_num;
DROP VIEW stream_names;

CREATE VIEW stream_names AS SELECT
    stream, kind,
    CASE WHEN kind = 'mids' THEN NULL
         WHEN has_part THEN rtrim(substr(rest, 1, length(rest) - length(last)), '/') ELSE rest END AS coin,
    CASE WHEN kind = 'mids' THEN rest WHEN instr(rest, ':') > 1 THEN substr(rest, 1, instr(rest, ':') - 1) END AS dex,
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
    stream, kind, coin, dex, part, strftime('%Y-%m-%dT%H:%M:%fZ', from_time / 1000.0, 'unixepoch') AS from_iso,
    strftime('%Y-%m-%dT%H:%M:%fZ', to_time / 1000.0, 'unixepoch') AS to_iso, from_time, to_time,
    (to_time - from_time) / 1000.0 AS seconds, source, epoch, rows
FROM coverage LEFT JOIN stream_names USING (stream);

CREATE VIEW gaps_num AS SELECT
    stream, kind, coin, dex, part, strftime('%Y-%m-%dT%H:%M:%fZ', from_time / 1000.0, 'unixepoch') AS from_iso,
    strftime('%Y-%m-%dT%H:%M:%fZ', to_time / 1000.0, 'unixepoch') AS to_iso, from_time, to_time,
    (to_time - from_time) / 1000.0 AS seconds, cause, state,
    strftime('%Y-%m-%dT%H:%M:%fZ', opened_at / 1000.0, 'unixepoch') AS opened_iso
FROM gaps LEFT JOIN stream_names USING (stream);
