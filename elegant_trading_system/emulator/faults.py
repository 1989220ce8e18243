"""What goes wrong between a venue and its customers, on demand and by seed: `--fault NAME:SHARE`, as often as one likes.

A share is of frames, orders or requests; of an episode's fault it is the share of time. `NAME:SHARE@FROM-TO` holds in
those seconds of the venue's life only.
"""

import math
import random
import time
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from ..core.kinds import Side
from ..core.units import ASK, BID
from ..errors import ExitCode, UserError
from .binance.venue import Reply
from .exchange import Exchange
from .orders import Event

HELP = {
    "drop": "share of market frames lost on a connection (a gap, when both lose the same)",
    "duplicate": "share of market frames sent twice",
    "delay": "share of market frames that come late, behind those that follow (reordered)",
    "disconnect": "share of frames after which the connection breaks",
    "crossed": "share of market frames whose bids stand above their asks",
    "old-snapshot": "share of REST books that are older than one given before",
    "lost-answer": "share of orders that are executed and never answered (time-out after accepting)",
    "unclear-answer": "share of orders that are executed and answered with 503 (5xx after accepting)",
    "lost-report": "share of order events that are not told (lost fill report)",
    "duplicate-report": "share of order events told twice (duplicate fill report)",
    "late-report": "share of order events and answers that come late (late fill report)",
    "late-request": "share of requests that reach the venue seconds late",
    "partial": "share of orders of which somebody faster leaves only a half to fill (partial IOC)",
    "reject": "share of orders turned away",
    "silence": "share of time in which a market connection stays open and says nothing; what it missed is lost",
    "stall": "share of time in which the venue publishes no market data on any connection; nothing is lost",
    "storm": "share of time in which every order is turned away",
    "ban": "share of time in which whoever asks is refused: 429, then 418",
    "clock-jump": "share of time at whose start the venue's clock jumps by seconds",
    "maintenance": "share of time in which the venue closes all connections, then is back with its markets halted",
}
EPISODES_S = {"silence": 4.0, "stall": 4.0, "storm": 2.0, "ban": 4.0, "clock-jump": 5.0, "maintenance": 4.0}
LATE_S = 0.4
LATE_REQUEST_S = 4.5  # the venue refuses what is older than its receive window of five
JUMPS_S = (1.5, 6.0)
NS_PER_S = 1_000_000_000
Http = Callable[[str, str, str, str, dict[str, str]], Reply]


class Passage(NamedTuple):
    """What becomes of a frame: copies and how late each is; or the end of the connection."""

    delays_s: tuple[float, ...]
    is_broken: bool = False


LOST, BROKEN = Passage(()), Passage((), is_broken=True)


class Faults:
    """Shares by name, and the dice. What happened is counted, and told to `tell`."""

    def __init__(
        self,
        shares: dict[str, float],
        seed: int,
        now_ns: Callable[[], int] = time.time_ns,
        spans_s: dict[str, tuple[float, float]] | None = None,
    ) -> None:
        self.shares, self.seed, self.now_ns = shares, seed, now_ns
        self.spans_s = spans_s or {}
        self.chance = random.Random(seed)  # noqa: S311 - dice, not keys
        self.counts = Counter[str]()
        self.tell: Callable[[str], None] = lambda _name: None
        self._began_ns = now_ns()
        self._episodes: dict[str, tuple[int, bool]] = {}
        self._banned_slot = -1
        self._offset_ns, self._jump_slot = 0, -1
        self._books: dict[str, bytes] = {}  # the last REST book by query

    # --- dice -------------------------------------------------------------------------------------------------
    @property
    def age_s(self) -> float:
        return (self.now_ns() - self._began_ns) / NS_PER_S

    def _share(self, name: str) -> float:
        share = self.shares.get(name, 0.0)
        begin_s, end_s = self.spans_s.get(name, (0.0, 0.0))
        return share if share == 0.0 or end_s == 0.0 or begin_s <= self.age_s < end_s else 0.0

    def _note(self, name: str) -> bool:
        self.counts[name] += 1
        self.tell(name)
        return True

    def _happens(self, name: str) -> bool:
        share = self._share(name)
        return share > 0.0 and self.chance.random() < share and self._note(name)

    def happens(self, name: str) -> bool:
        """For venues whose frames are told apart elsewhere."""
        return self._happens(name)

    def _slot(self, name: str) -> tuple[int, float]:
        """Number of the running episode's slot, and how much of it is over."""
        slot, within = divmod(self.age_s, EPISODES_S[name])
        return int(slot), within / EPISODES_S[name]

    def holds(self, name: str, key: object = "") -> bool:
        """Is an episode on? It follows from seed and slot alone, not from how often one asks."""
        share = self._share(name)
        if share == 0.0:
            return False
        slot, _ = self._slot(name)
        known = self._episodes.get(f"{name} {key}")
        if known is None or known[0] != slot:
            dice = random.Random(f"{self.seed} {name} {key} {slot}")  # noqa: S311
            known = self._episodes[f"{name} {key}"] = slot, dice.random() < share
        return known[1]

    # --- the venue as a whole ---------------------------------------------------------------------------------
    def is_closed(self) -> bool:
        """Maintenance, its first half: nobody gets in."""
        return self.holds("maintenance") and self._slot("maintenance")[1] < 0.5 and self._note("maintenance")

    def is_halted(self) -> bool:
        """Maintenance, its second half: connections are there, markets are not."""
        return self.holds("maintenance") and self._slot("maintenance")[1] >= 0.5 and self._note("maintenance")

    def is_still(self) -> bool:
        """Does the venue publish nothing for the moment?"""
        return (self.holds("stall") and self._note("stall")) or self.is_halted()

    def is_banned(self) -> bool:
        """Is whoever asks refused?"""
        return self._banned_s() > 0.0

    def is_storming(self) -> bool:
        """Is every order turned away?"""
        return self.holds("storm") and self._note("storm")

    def venue_ns(self) -> int:
        """The venue's own clock."""
        if self.holds("clock-jump") and self._jump_slot != self._slot("clock-jump")[0]:
            self._jump_slot = self._slot("clock-jump")[0]
            self._offset_ns = round(self.chance.choice([-1, 1]) * self.chance.uniform(*JUMPS_S) * NS_PER_S)
            self._note("clock-jump")
        return self.now_ns() + self._offset_ns

    # --- market streams ---------------------------------------------------------------------------------------
    def market(self, line: object = "") -> Passage:
        """A frame of a market stream on one of the connections."""
        if self.is_closed() or self._happens("disconnect"):
            return BROKEN
        if (self.holds("silence", line) and self._note("silence")) or self._happens("drop"):
            return LOST
        late_s = LATE_S * self.chance.random() if self._happens("delay") else 0.0
        return Passage((late_s, late_s)) if self._happens("duplicate") else Passage((late_s,))

    def market_frame(self, frame: str) -> str:
        """The frame itself, perhaps with a bid at its highest ask and an ask at its lowest bid."""
        if '"depthUpdate"' not in frame or not self._happens("crossed"):
            return frame
        message = msgspec.json.decode(frame)
        data = message.get("data", message)
        if data["b"] and data["a"]:
            low, high = min(data["b"], key=_price), max(data["a"], key=_price)
            data["b"], data["a"] = [[high[0], "1.00000000"]], [[low[0], "1.00000000"]]
        return msgspec.json.encode(message).decode()

    # --- orders over the WebSocket API ------------------------------------------------------------------------
    def answer(self, frame: str) -> tuple[Passage, str]:
        """A frame of the order connection: an event, or the answer to a request; perhaps another answer."""
        if self.is_closed() or self._happens("disconnect"):
            return BROKEN, frame
        late_s = LATE_S * self.chance.random() if self._happens("late-report") else 0.0
        if '"event"' in frame or '"e":"ORDER_TRADE_UPDATE"' in frame or '"e":"ACCOUNT_UPDATE"' in frame:
            if self._happens("lost-report"):
                return LOST, frame
            return Passage((late_s, late_s) if self._happens("duplicate-report") else (late_s,)), frame
        if '"clientOrderId"' in frame:
            if self._happens("lost-answer"):
                return LOST, frame
            if self._happens("unclear-answer"):
                error = {"code": -1000, "msg": "An unknown error occurred while processing the request."}
                request_id = msgspec.json.decode(frame)["id"]
                frame = msgspec.json.encode({"id": request_id, "status": 503, "error": error}).decode()
        return Passage((late_s,)), frame

    def request_delay_s(self) -> float:
        """How much longer than usual a request is on its way."""
        return LATE_REQUEST_S * self.chance.random() if self._happens("late-request") else 0.0

    def refusal(self, request: str) -> str:
        """The answer to a request that is turned away before anybody looks at it; empty if it is let through."""
        status, error = 0, dict[str, Any]()
        if retry_s := self._banned_s():
            status, until_ms = (
                (429 if self._is_first() else 418),
                (self.venue_ns() + round(retry_s * NS_PER_S)) // 10**6,
            )
            error = {"code": -1003, "msg": f"Way too much request weight used; IP banned until {until_ms}."}
            error["data"] = {"serverTime": self.venue_ns() // 10**6, "retryAfter": until_ms}
        elif '"order.place"' not in request:
            return ""
        elif self.is_halted():
            status, error = 400, {"code": -2010, "msg": "Market is closed."}
        elif self.is_storming() or self._happens("reject"):
            message = "Too many new orders; current limit is 50 orders per 10 SECOND."
            status, error = 429, {"code": -1015, "msg": message}
        if status == 0:
            return ""
        try:
            request_id = msgspec.json.decode(request).get("id")
        except (msgspec.DecodeError, UnicodeError, RecursionError, AttributeError):
            request_id = None
        return msgspec.json.encode({"id": request_id, "status": status, "error": error}).decode()

    def rivals(self, exchange: Exchange, request: str) -> list[Event]:
        """Somebody is faster than an order that arrives, perhaps."""
        if '"order.place"' not in request or not self._happens("partial"):
            return []
        try:
            params = msgspec.json.decode(request)["params"]
            symbol, side = params["symbol"], Side[params["side"]]
            return self.outpace(exchange, symbol, side, params["quantity"], params["price"])
        except (msgspec.DecodeError, UnicodeError, RecursionError, KeyError, TypeError, ValueError, ArithmeticError):
            return []  # let the venue say what is wrong with it

    @staticmethod
    def outpace(exchange: Exchange, symbol: str, side: Side, quantity: str, limit: str) -> list[Event]:
        """Of what an order could take, half its own size is left."""
        instrument = exchange.instruments[symbol]
        lots, limit_ticks = int(Decimal(quantity) / instrument.lot), int(Decimal(limit) / instrument.tick)
        s, left, rows = (ASK if side is Side.BUY else BID), max(1, lots // 2), list[tuple[int, int]]()
        book = exchange.books[symbol]
        for ticks, _ in book.top(s, 1000):
            if (limit_ticks - ticks) * side >= 0:
                taken = min(book.market_lots(s, ticks), left)
                rows.append((ticks, taken))
                left -= taken
        return exchange.apply_depth(symbol, *((rows, []) if s == BID else ([], rows)))

    # --- REST -------------------------------------------------------------------------------------------------
    def _banned_s(self) -> float:
        """Seconds until a ban is over; 0 when there is none."""
        if not self.holds("ban"):
            return 0.0
        self._note("ban")
        return EPISODES_S["ban"] * (1.0 - self._slot("ban")[1]) + 0.001

    def _is_first(self) -> bool:
        """Is this the first request of the ban? Later ones were warned."""
        slot, before = self._slot("ban")[0], self._banned_slot
        self._banned_slot = slot
        return slot != before

    def rest(self, http: Http, method: str, path: str, query: str, body: str, headers: dict[str, str]) -> Reply:
        """A request put to the venue, and what becomes of its answer."""
        if self.is_closed():
            return _refused(503, -1, "System is under maintenance.")
        if retry_s := self._banned_s():
            status = 429 if self._is_first() else 418
            refused = _refused(status, -1003, "Way too much request weight used; please use WebSocket Streams.")
            refused.headers["Retry-After"] = str(math.ceil(retry_s))
            return refused
        reply = http(method, path, query, body, headers)
        if path.endswith("/order") and method == "POST":
            if self._happens("lost-answer"):
                return _refused(504, -1007, "Timeout waiting for response from backend server. Send status unknown.")
            if self._happens("unclear-answer"):
                return _refused(503, -1000, "An unknown error occurred while processing the request.")
        if path.endswith("/exchangeInfo") and self.is_halted():
            return reply._replace(body=reply.body.replace(b'"TRADING"', b'"BREAK"'))
        if path.endswith("/depth") and reply.status == 200:
            return reply._replace(body=self._book(query, reply.body))
        return reply

    def _book(self, query: str, body: bytes) -> bytes:
        """A REST book, perhaps the one given before."""
        before = self._books.get(query)
        if before is not None and self._happens("old-snapshot"):
            return before
        self._books[query] = body
        return body


def _price(row: list[str]) -> Decimal:
    return Decimal(row[0])


def _refused(status: int, code: int, message: str) -> Reply:
    return Reply(status, {"Content-Type": "application/json"}, msgspec.json.encode({"code": code, "msg": message}))


def parse(texts: list[str], seed: int) -> Faults:
    """["drop:0.01", "maintenance:1@10-14", ...]; everything wrong with them at once."""
    shares, spans_s, problems = dict[str, float](), dict[str, tuple[float, float]](), list[str]()
    for text in texts:
        name, _, argument = text.partition(":")
        share, _, span = argument.partition("@")
        try:
            shares[name] = float(share)
        except ValueError:
            problems.append(f"{text}: its share is no number")
            continue
        if name not in HELP:
            problems.append(f"{text}: no such fault")
        elif not 0.0 <= shares[name] <= 1.0:
            problems.append(f"{text}: a share is between 0 and 1")
        if span:
            try:
                begin_s, end_s = (float(part) for part in span.split("-"))
            except ValueError:
                begin_s = end_s = -1.0
            spans_s[name] = begin_s, end_s
            if not 0.0 <= begin_s < end_s:
                problems.append(f"{text}: behind @ stand two ascending seconds, as in 10-14")
    if problems:
        known = "; ".join(f"{name}: {what}" for name, what in HELP.items())
        raise UserError("faults: " + "; ".join(problems), known, ExitCode.USAGE)
    return Faults(shares, seed, spans_s=spans_s)
