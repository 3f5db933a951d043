"""What three readers see in an archive. Arguments: its folder, and an exported file, in floats and exact. Answers as JSON."""

import json
import sys
from decimal import Decimal
from pathlib import Path

import duckdb
import pandas
import polars

archive, exported, exact = Path(sys.argv[1]), sys.argv[2], sys.argv[3]


def plain(number):
    return format(Decimal(number).normalize(), "f")


def of_polars():
    def stream(name):
        return polars.scan_parquet(archive / f"stream={name}" / "date=*/*.parquet", hive_partitioning=True).collect()

    trades = stream("trades%2F*")
    assert trades["px"].dtype == polars.Decimal(38, 12), trades.schema
    assert trades["time"].dtype == polars.Datetime("ms", "UTC"), trades.schema
    sums = {}
    for coin, px, sz in trades.select("coin", "px", "sz").iter_rows():
        rows, total = sums.get(coin, (0, Decimal(0)))
        sums[coin] = (rows + 1, total + px * sz)
    mids, books, bbo = stream("mids*"), stream("book%2F*"), stream("bbo%2F*")
    everything = polars.scan_parquet(
        archive / "stream=*/date=*/*.parquet", hive_partitioning=True, missing_columns="insert", extra_columns="ignore"
    ).select("stream", "coin", "time", "seq")
    return {
        "streams": dict(everything.group_by("stream").len().collect().iter_rows()),
        "trades": {coin: [rows, plain(total)] for coin, (rows, total) in sums.items()},
        "dates": sorted({str(date) for date in trades["date"]}),
        "first": int(trades["time"].min().timestamp() * 1000),
        "mids": mids.height,
        "mid_coins": sorted(set(mids["coin"])),
        "levels": int(books["bids"].list.len().sum() + books["asks"].list.len().sum()),
        "no_bid": int(bbo["bid_px"].null_count()),
        "types": [
            {polars.Float64: "float", polars.Decimal(38, 12): "decimal"}[polars.read_parquet(file)["px"].dtype]
            for file in (exported, exact)
        ],
        "exported": polars.read_parquet(exported).height,
    }


def of_pandas():
    def stream(name):
        return pandas.concat(pandas.read_parquet(folder) for folder in archive.glob(f"stream={name}*"))

    trades = stream("trades")
    assert isinstance(trades["px"].iloc[0], Decimal)
    assert str(trades["time"].dtype) == "datetime64[ms, UTC]", trades.dtypes
    notional = trades["px"] * trades["sz"]
    sums = {}
    for coin, value in zip(trades["coin"].astype(str), notional):
        rows, total = sums.get(coin, (0, Decimal(0)))
        sums[coin] = (rows + 1, total + value)
    mids, books, bbo = stream("mids"), stream("book"), stream("bbo")
    everything = pandas.read_parquet(archive, columns=["stream", "coin", "time", "seq"])
    return {
        "streams": {str(name): int(rows) for name, rows in everything["stream"].astype(str).value_counts().items()},
        "trades": {coin: [rows, plain(total)] for coin, (rows, total) in sums.items()},
        "dates": sorted({str(date) for date in trades["date"].astype(str)}),
        "first": int(trades["time"].min().timestamp() * 1000),
        "mids": len(mids),
        "mid_coins": sorted(set(mids["coin"])),
        "levels": int(books["bids"].map(len).sum() + books["asks"].map(len).sum()),
        "no_bid": int(bbo["bid_px"].isna().sum()),
        "types": [
            {"float64": "float", "object": "decimal"}[str(pandas.read_parquet(file)["px"].dtype)]
            for file in (exported, exact)
        ],
        "exported": len(pandas.read_parquet(exported)),
    }


def of_duckdb():
    def stream(name):
        return f"read_parquet('{archive}/stream={name}/date=*/*.parquet', hive_partitioning = true)"

    def one(query):
        return duckdb.sql(query).fetchall()[0][0]

    sums = duckdb.sql(
        f"SELECT coin, count(*), CAST(sum(px * sz) AS VARCHAR) FROM {stream('trades%2F*')} GROUP BY coin"
    ).fetchall()
    types = dict(duckdb.sql(f"SELECT column_name, column_type FROM (DESCRIBE FROM {stream('trades%2F*')})").fetchall())
    assert (types["px"], types["time"]) == ("DECIMAL(38,12)", "TIMESTAMP WITH TIME ZONE"), types
    dates = duckdb.sql(f"SELECT DISTINCT date FROM {stream('trades%2F*')} ORDER BY date").fetchall()
    coins = duckdb.sql(f"SELECT DISTINCT coin FROM {stream('mids*')}").fetchall()
    everything = f"read_parquet('{archive}/stream=*/date=*/*.parquet', union_by_name = true)"
    return {
        "streams": dict(duckdb.sql(f"SELECT stream, count(*) FROM {everything} GROUP BY stream").fetchall()),
        "trades": {coin: [rows, plain(total)] for coin, rows, total in sums},
        "dates": [str(date) for (date,) in dates],
        "first": one(f"SELECT epoch_ms(min(time)) FROM {stream('trades%2F*')}"),
        "mids": one(f"SELECT count(*) FROM {stream('mids*')}"),
        "mid_coins": sorted(coin for (coin,) in coins),
        "levels": int(one(f"SELECT sum(len(bids) + len(asks)) FROM {stream('book%2F*')}")),
        "no_bid": one(f"SELECT count(*) FROM {stream('bbo%2F*')} WHERE bid_px IS NULL"),
        "types": [
            {"DOUBLE": "float", "DECIMAL(38,12)": "decimal"}[one(f"SELECT typeof(px) FROM read_parquet('{file}') LIMIT 1")]
            for file in (exported, exact)
        ],
        "exported": one(f"SELECT count(*) FROM read_parquet('{exported}')"),
    }


def part_of_an_earlier_release():
    """The trades of one day as such a release wrote them: at another place, with fewer columns."""
    day = next(archive.glob("stream=trades%2F*/date=*"))
    folder = archive / "stream=trades" / "coin=BTC" / day.name
    folder.mkdir(parents=True)
    trades = polars.read_parquet(day / "*.parquet", hive_partitioning=False)
    trades.drop("coin", "received", "seq").write_parquet(folder / "part-1-1-1.parquet")


seen = {"pandas": of_pandas()}
part_of_an_earlier_release()
seen |= {"polars": of_polars(), "duckdb": of_duckdb()}
print(json.dumps(seen))
