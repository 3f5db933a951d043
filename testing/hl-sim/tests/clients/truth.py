"""The truth of a simulated exchange, as its own door tells it."""

import json
import time
import urllib.parse
import urllib.request

MINUTE = 60_000


class Truth:
    def __init__(self, base):
        self.base = base

    def ask(self, path, **query):
        query = urllib.parse.urlencode({name.rstrip("_"): value for name, value in query.items()})
        with urllib.request.urlopen(f"{self.base}/sim/{path}?{query}", timeout=60) as answer:
            return json.load(answer)

    def now(self):
        return self.ask("status")["now"]

    def settled(self):
        """A time up to which nothing happens any more."""
        return self.now() - 5_000

    def coins(self):
        """What is traded, outcomes aside."""
        contexts = self.ask("truth/contexts", from_=self.now() - 5_000)
        return {row["coin"] for row in contexts if not row["coin"].startswith("#")}

    def candles(self, coin, interval, start, end):
        return self.ask("truth/candles", coin=coin, interval=interval, from_=start, to=end)

    def trades(self, coin, start, end):
        return self.ask("truth/trades", coin=coin, from_=start, to=end)

    def book(self, coin, at):
        """The book of a time, best levels first, as pairs of floats."""
        [book] = self.ask("truth/books", coin=coin, from_=at, to=at)
        return [[(float(level["px"]), float(level["sz"])) for level in side] for side in book["levels"]]

    def funding(self, coin, start, end):
        return self.ask("truth/funding", coin=coin, from_=start, to=end)

    def held(self, user):
        """The coins of which a user has a position."""
        return {row["coin"] for row in self.ask("truth/positions", user=user) if float(row["szi"])}

    def maker(self, coin):
        """A trader whose orders rest in the book: busy, and with orders that are open."""
        now = self.now()
        made = [t["users"][1 if t["side"] == "B" else 0] for t in self.trades(coin, now - 10 * MINUTE, now)]
        return max(set(made), key=made.count)


def until(what, ask, seconds=60):
    """Asks until there is an answer."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if answer := ask():
            return answer
        time.sleep(0.05)
    raise AssertionError(f"never: {what}")


def sorted_book(bids, asks):
    """Whether both sides have levels, best first, and do not cross."""
    return bids and asks and bids == sorted(bids, reverse=True) and asks == sorted(asks) and bids[0] < asks[0]
