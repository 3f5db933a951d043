"""hyperliquid-python-sdk against a simulated exchange, whose base URL is the argument: what it is told is the truth."""

import importlib.metadata
import sys

from hyperliquid.info import Info
from hyperliquid.utils.types import Cloid
from truth import MINUTE, Truth, sorted_book, until

base = sys.argv[1]
truth = Truth(base)
COIN = "BTC"


def markets(info):
    assert set(info.coin_to_asset) >= truth.coins(), (info.coin_to_asset, truth.coins())
    assert info.name_to_coin["HYPE/USDC"] == "@107" and info.name_to_asset("HYPE/USDC") == 10107
    assert info.name_to_asset("xyz:TSLA") == 110001 and info.name_to_asset("BTC") == 0
    spot = info.spot_meta()
    assert [token["index"] for token in spot["tokens"]] == list(range(len(spot["tokens"]))), spot
    for dex in ("", "xyz"):
        mids, names = info.all_mids(dex), {market["name"] for market in info.meta(dex)["universe"]}
        listed = {coin for coin in truth.coins() if coin.startswith("xyz:") == (dex == "xyz")}
        assert listed <= set(mids) and names >= {c for c in listed if c[0] != "@" and "/" not in c}, (dex, mids)
    meta, contexts = info.meta_and_asset_ctxs()
    assert len(meta["universe"]) == len(contexts) and meta == info.meta()
    spot, contexts = info.spot_meta_and_asset_ctxs()
    assert {context["coin"] for context in contexts} >= {pair["name"] for pair in spot["universe"]}
    assert [dex and dex["name"] for dex in info.perp_dexs()] == [None, "xyz"]


def history(info):
    now = truth.settled()
    bars = 0
    for name, coin in [("BTC", "BTC"), ("UBTC/USDC", "@142"), ("xyz:NVDA", "xyz:NVDA")]:
        start, end = now - now % MINUTE - 60 * MINUTE, now - now % MINUTE - 1
        seen, told = info.candles_snapshot(name, "1m", start, end), truth.candles(coin, "1m", start, end)
        assert told and seen == [{field: value for field, value in bar.items() if field != "coin"} for bar in told]
        bars += len(seen)
    start = now - 48 * 60 * MINUTE
    told = truth.funding("BTC", start, now)
    assert len(told) >= 47 and info.funding_history("BTC", start)[: len(told)] == told, told
    assert info.funding_history("BTC", start, now - 60 * MINUTE) == truth.funding("BTC", start, now - 60 * MINUTE)
    book = info.l2_snapshot("BTC")
    bids, asks = [[(float(level["px"]), float(level["sz"])) for level in side] for side in book["levels"]]
    assert sorted_book(bids, asks) and [bids, asks] == truth.book("BTC", book["time"]), book
    return bars


def account(info, user):
    now = truth.settled()
    for dex in ("", "xyz"):
        before, state, after = truth.held(user), info.user_state(user, dex), truth.held(user)
        seen = {p["position"]["coin"] for p in state["assetPositions"]}
        perps = {market["name"] for market in info.meta(dex)["universe"]}
        assert before & after & perps <= seen <= (before | after) & perps, (before, seen, after)
        assert float(state["marginSummary"]["accountValue"]) > 0, state
    assert {b["coin"] for b in info.spot_user_state(user)["balances"]} == {"USDC", "PURR", "HYPE", "UBTC"}
    newest = info.user_fills(user)
    times = [fill["time"] for fill in newest]
    assert newest and times == sorted(times, reverse=True)
    start = now - 10 * MINUTE
    fills = info.user_fills_by_time(user, start, now)
    times = [fill["time"] for fill in fills]
    told = [(t["time"], t["tid"]) for t in truth.trades(COIN, start, now) if user in t["users"]]
    seen = [(fill["time"], fill["tid"]) for fill in fills if fill["coin"] == COIN]
    assert times == sorted(times) and told and sorted(seen) == sorted(told), (seen, told)
    events = info.historical_orders(user)
    oid = events[0]["order"]["oid"]
    assert info.query_order_by_oid(user, oid)["order"]["order"]["oid"] == oid
    assert info.query_order_by_cloid(user, Cloid.from_int(1)) == {"status": "unknownOid"}
    for orders in (info.open_orders(user), info.frontend_open_orders(user)):
        assert all(order["coin"][0] == "#" or order["coin"] in info.coin_to_asset for order in orders), orders
    paid = info.user_funding_history(user, now - 3 * 60 * MINUTE)
    assert paid and [p["time"] for p in paid] == sorted(p["time"] for p in paid)
    assert len(info.user_non_funding_ledger_updates(user, 0)) == 1
    # Both may be asked for without a time, and then the newest payment is first.
    ask = lambda kind: info.post("/info", {"type": kind, "user": user})
    times = [p["time"] for p in ask("userFunding")]
    assert len(times) >= len(paid) and times == sorted(times, reverse=True), times
    assert ask("userNonFundingLedgerUpdates") == info.user_non_funding_ledger_updates(user, 0)
    assert [name for name, _ in info.portfolio(user)][:4] == ["day", "week", "month", "allTime"]
    assert info.user_role(user) == {"role": "user"}
    assert float(info.user_fees(user)["userCrossRate"]) > 0 and info.user_rate_limit(user)["nRequestsCap"] > 0
    assert info.query_user_abstraction_state(user) == "default"
    assert info.query_user_dex_abstraction_state(user) is None
    assert info.query_user_to_multi_sig_signers(user) is None and info.query_sub_accounts(user) is None
    assert info.query_referral_state(user)["referredBy"] is None
    assert info.user_staking_summary(user)["delegated"] == "0.0"
    for empty in (info.user_staking_delegations, info.user_staking_rewards, info.delegator_history,
                  info.user_vault_equities, info.extra_agents):
        assert empty(user) == [], empty
    assert isinstance(info.user_twap_slice_fills(user), list)
    return len(fills)


def streams(info, user):
    got = {}

    def subscribe(**subscription):
        came = got.setdefault(subscription["type"], [])
        info.subscribe(subscription, lambda message: came.append(message["data"]))

    for kind in ("trades", "l2Book", "bbo", "activeAssetCtx"):
        subscribe(type=kind, coin=COIN)
    subscribe(type="candle", coin=COIN, interval="1m")
    subscribe(type="activeAssetData", coin=COIN, user=user)
    subscribe(type="allMids")
    for kind in ("userFills", "userFundings", "userNonFundingLedgerUpdates", "orderUpdates", "userEvents"):
        subscribe(type=kind, user=user)
    # Each twice: the first frame may be another one than those that follow. Of some there is only a snapshot.
    once = {"userFundings", "userNonFundingLedgerUpdates", "userEvents", "userFills", "activeAssetData"}
    for kind, came in got.items():
        until(kind, lambda: len(came) >= (1 if kind in once else 2))

    trades = [trade for frame in list(got["trades"]) for trade in frame]
    told = {t["tid"]: t for t in truth.trades(COIN, trades[0]["time"], truth.now())}
    assert len(trades) >= 30 and all(trade == told[trade["tid"]] for trade in trades), trades
    for book in got["l2Book"]:
        bids, asks = [[(float(level["px"]), float(level["sz"])) for level in side] for side in book["levels"]]
        assert sorted_book(bids, asks) and [bids, asks] == truth.book(COIN, book["time"]), book
    for bbo in got["bbo"]:
        bid, ask = bbo["bbo"]
        assert float(bid["px"]) < float(ask["px"]), bbo
    for bar in got["candle"]:
        assert bar["s"] == COIN and bar["t"] % MINUTE == 0 and bar["T"] == bar["t"] + MINUTE - 1, bar
    # REST and WebSocket say the same things of a bar, a book and a context.
    rest = info.candles_snapshot(COIN, "1m", truth.now() - 10 * MINUTE, truth.now())[0]
    assert set(rest) == set(got["candle"][0]) and set(info.l2_snapshot(COIN)) == set(got["l2Book"][0])
    assert set(info.meta_and_asset_ctxs()[1][0]) == set(got["activeAssetCtx"][0]["ctx"])
    assert set(info.all_mids()) == set(got["allMids"][0]["mids"])
    assert got["userFills"][0]["isSnapshot"] and set(got["userFills"][0]["fills"][0]) == set(info.user_fills(user)[0])
    assert got["userNonFundingLedgerUpdates"][0]["nonFundingLedgerUpdates"] == info.user_non_funding_ledger_updates(user, 0)
    order = got["orderUpdates"][0][0]
    assert order["order"]["origSz"] and order["status"] in ("open", "filled", "canceled"), order
    return len(trades)


def main():
    user = truth.maker(COIN)
    info = Info(base, perp_dexs=["", "xyz"], timeout=60)
    try:
        markets(info)
        bars, fills, trades = history(info), account(info, user), streams(info, user)
    finally:
        info.disconnect_websocket()
    version = importlib.metadata.version("hyperliquid-python-sdk")
    print(f"hyperliquid-python-sdk {version}: {bars} bars, {fills} fills of {user}, {trades} pushed trades")


main()
