"""ccxt and ccxt.pro against a simulated exchange, whose base URL is the argument: what they understand is the truth."""

import asyncio
import sys

import ccxt.pro
from truth import MINUTE, Truth, sorted_book

base = sys.argv[1]
truth = Truth(base)
SWAP, COIN = "BTC/USDC:USDC", "BTC"


def client(user=None):
    exchange = ccxt.pro.hyperliquid({"enableRateLimit": False, "walletAddress": user})
    socket = base.replace("http", "ws") + "/ws"
    exchange.urls["api"] = {"public": base, "private": base, "ws": {"public": socket}}
    return exchange


async def markets(exchange):
    markets = await exchange.load_markets()
    active = {m["info"]["name"] for m in markets.values() if m["active"]}
    assert active == truth.coins(), (active, truth.coins())
    delisted = {m["info"]["name"] for m in markets.values() if not m["active"]}
    assert delisted and not delisted & truth.coins(), delisted
    # The pairs by their tokens' names; ccxt calls the token UBTC as the coin.
    assert {s for s, m in markets.items() if m["spot"]} == {"PURR/USDC", "HYPE/USDC", "BTC/USDC"}, list(markets)
    assert markets["HYPE/USDC"]["id"] == "@107" and markets["XYZ-NVDA/USDC:USDC"]["id"] == "110000"
    # The first spot pair and every perpetual have a context; other pairs are not found by their position.
    tickers = await exchange.fetch_tickers()
    for symbol, market in markets.items():
        if market["active"] and (market["swap"] or symbol == "PURR/USDC"):
            coin = market["info"]["name"]
            told = [row["ctx"]["midPx"] for row in truth.ask("truth/contexts", coin=coin, from_=truth.now() - 30_000)]
            assert tickers[symbol]["last"] in [float(px) for px in told if px], (symbol, tickers[symbol], told)
    currencies = await exchange.fetch_currencies()
    assert {"USDC", "PURR", "HYPE"} <= set(currencies), list(currencies)
    assert abs(await exchange.fetch_time() - truth.now()) < 10_000
    assert (await exchange.fetch_status())["status"] == "ok"
    return len(markets)


async def history(exchange):
    now = truth.settled()
    bars = 0
    for interval, ms in [("1m", MINUTE), ("5m", 5 * MINUTE), ("1h", 60 * MINUTE)]:
        for symbol, coin in [(SWAP, COIN), ("HYPE/USDC", "@107"), ("XYZ-NVDA/USDC:USDC", "xyz:NVDA")]:
            start = now - now % ms - 60 * ms
            told = [
                [bar["t"], *(float(bar[field]) for field in "ohlcv")]
                for bar in truth.candles(coin, interval, start, now - now % ms - 1)
            ]
            seen = await exchange.fetch_ohlcv(symbol, interval, start, 100)
            assert told and seen[: len(told)] == told, (symbol, interval, seen[:2], told[:2])
            bars += len(told)
    told = [(row["time"], float(row["fundingRate"])) for row in truth.funding(COIN, now - 48 * 60 * MINUTE, now)]
    rates = await exchange.fetch_funding_rate_history(SWAP, now - 48 * 60 * MINUTE)
    seen = [(rate["timestamp"], rate["fundingRate"]) for rate in rates]
    assert len(told) >= 47 and seen[: len(told)] == told, (seen, told)
    swaps = {s for s, m in exchange.markets.items() if m["swap"] and not m["info"].get("hip3")}
    rates, interests = await exchange.fetch_funding_rates(), await exchange.fetch_open_interests()
    assert set(rates) == set(interests) == swaps, (list(rates), swaps)
    assert all(rate["fundingRate"] is not None and rate["markPrice"] > 0 for rate in rates.values()), rates
    return bars


async def book(exchange):
    book = await exchange.fetch_order_book(SWAP)
    bids, asks = [[tuple(level[:2]) for level in book[side]] for side in ("bids", "asks")]
    assert sorted_book(bids, asks) and len(bids) == len(asks) == 20, book
    assert [bids, asks] == truth.book(COIN, book["timestamp"])
    step = exchange.markets[SWAP]["precision"]["price"]
    assert all(px % step == 0 for px, _ in bids + asks), (step, book)


async def account(exchange, user):
    before, seen = truth.held(user), set()
    for symbols in (None, ["XYZ-NVDA/USDC:USDC"]):
        for position in await exchange.fetch_positions(symbols):
            seen.add(exchange.markets[position["symbol"]]["info"]["name"])
            assert position["side"] in ("long", "short") and position["contracts"] > 0, position
            assert position["entryPrice"] > 0 and position["notional"] > 0, position
    after = truth.held(user)
    # Of the other dex one market was asked for.
    swaps = {m["info"]["name"] for m in exchange.markets.values() if m["swap"]} - {"xyz:TSLA"}
    assert before & after & swaps <= seen <= before | after, (before, seen, after)
    balance = await exchange.fetch_balance({"type": "swap"})
    assert balance["USDC"]["total"] > 0, balance
    assert (await exchange.fetch_balance({"type": "spot"}))["HYPE"]["total"] > 0
    trades = await exchange.fetch_my_trades(SWAP)
    assert trades and all(trade["symbol"] == SWAP and trade["fee"]["currency"] == "USDC" for trade in trades)
    times = [trade["timestamp"] for trade in trades]
    told = {(t["time"], str(t["tid"])) for t in truth.trades(COIN, times[0], truth.now()) if user in t["users"]}
    assert times == sorted(times) and {(t["timestamp"], t["id"]) for t in trades} <= told, trades[0]
    orders = await exchange.fetch_orders()
    assert {"closed", "canceled"} <= {order["status"] for order in orders}, orders[:1]
    order = await exchange.fetch_order(orders[-1]["id"])
    assert (order["id"], order["symbol"]) == (orders[-1]["id"], orders[-1]["symbol"]), order
    assert all(order["status"] == "open" for order in await exchange.fetch_open_orders())
    # Without a time, as ccxt asks where it is given none.
    paid = await exchange.fetch_funding_history()
    assert paid and all(payment["code"] == "USDC" for payment in paid), paid
    [deposit] = await exchange.fetch_deposits()
    assert deposit["amount"] > 0 and deposit["timestamp"] < truth.now(), deposit
    assert len(await exchange.fetch_ledger()) == 1
    fee = await exchange.fetch_trading_fee(SWAP)
    assert 0 < fee["maker"] < fee["taker"] < 0.001, fee
    return len(trades)


async def streams(exchange, user):
    """Every stream until it has brought something twice; those of states and events once."""

    async def trades():
        seen = {}
        for _ in range(3):
            trades = await exchange.watch_trades(SWAP)
            times = [trade["timestamp"] for trade in trades]
            assert times == sorted(times), trades
            seen |= {(t["timestamp"], t["id"]): (t["price"], t["amount"], t["side"]) for t in trades}
        first = min(time for time, _ in seen)
        told = {
            (t["time"], str(t["tid"])): (float(t["px"]), float(t["sz"]), "buy" if t["side"] == "B" else "sell")
            for t in truth.trades(COIN, first, truth.now())
        }
        assert len(seen) >= 30 and seen == {key: told[key] for key in seen}, (seen, told)
        # Nothing is left out between the first and the last.
        last = max(time for time, _ in seen)
        assert {key for key in told if first < key[0] < last} <= set(seen), (sorted(seen), sorted(told))

    async def books():
        for _ in range(2):
            book = await exchange.watch_order_book(SWAP)
            bids, asks = [[tuple(level[:2]) for level in book[side]] for side in ("bids", "asks")]
            assert sorted_book(bids, asks) and [bids, asks] == truth.book(COIN, book["timestamp"]), book

    async def bars():
        for _ in range(2):
            bars = await exchange.watch_ohlcv(SWAP, "1m")
            for time, o, h, l, c, v in bars:
                assert time % MINUTE == 0 and l <= min(o, c) <= max(o, c) <= h and v > 0, bars

    async def tickers():
        ticker = await exchange.watch_ticker(SWAP)
        assert 0 < ticker["bid"] <= ticker["last"] <= ticker["ask"], ticker
        assert {SWAP, "HYPE/USDC"} <= set(await exchange.watch_tickers())

    async def own():
        before = truth.held(user)
        fills = [fill for fill in await exchange.watch_my_trades() if fill["symbol"] == SWAP]
        first = min(fill["timestamp"] for fill in fills)
        told = {(t["time"], str(t["tid"])) for t in truth.trades(COIN, first, truth.now()) if user in t["users"]}
        assert {(fill["timestamp"], fill["id"]) for fill in fills} <= told, (fills, told)
        orders = await exchange.watch_orders()
        assert orders and orders[0]["symbol"] in exchange.markets, orders
        positions = await exchange.watch_positions()
        coins = {position["info"]["position"]["coin"] for position in positions}
        assert coins and coins <= before | truth.held(user), (positions, before)

    await asyncio.wait_for(asyncio.gather(trades(), books(), bars(), tickers(), own()), 60)


async def main():
    user = truth.maker(COIN)
    exchange, one = client(), client(user)
    try:
        count = await markets(exchange)
        bars = await history(exchange)
        await book(exchange)
        await one.load_markets()
        trades = await account(one, user)
        await streams(one, user)
    finally:
        await exchange.close()
        await one.close()
    print(f"ccxt {ccxt.__version__}: {count} markets, {bars} bars, {trades} trades of {user}")


asyncio.run(main())
