"""Orders to a venue of Binance's over its WebSocket API, without a socket: what Spot and USD-M have in common.

An order is known to the venue by an id made of the session's epoch and our own number: it is never used again. Fills
come more than once: each counts once, by its trade id. An answer that leaves open whether the order exists changes
nothing: the core will ask.
"""

import hashlib
import hmac
from abc import abstractmethod
from collections.abc import Callable, Mapping
from decimal import ROUND_UP, Decimal
from typing import Any, ClassVar

import msgspec

from ...core.kinds import CommandKind, Kind, RejectReason
from ...data.tape import ListingSpec
from ..budget import BAN_MS, UNITS_MS, Budget, Limit, Use
from ..command import Command
from ..orders import ABSENCE_MS, OrdersSent
from ..sequencer import Sequencer
from .fills import NUMBER_MAX, Fill, Sent, executed_of, read_fills, within

Json = dict[str, Any]
RECEIVE_WINDOW_MS = 5000
FINAL = ("FILLED", "CANCELED", "EXPIRED", "REJECTED", "EXPIRED_IN_MATCH")
OK, UNCLEAR_STATUS = 200, 500  # from 500 on the venue does not know itself what became of the request
NO_SUCH_ORDER, OUT_OF_TIME, BANNED = -2013, -1021, -1003
ROUND_TRIP_MS = 1000  # a clock read over a longer one is too uncertain; so long is waited before asking again
CLOCK_EVERY_MS = 30_000
NEVER_MS = -(2**60)
COUNT_MAX = 10**9
STAMP_MAX_MS = 2**43
UNKNOWN_CODES = (-1000, -1001, -1006, -1007)  # the venue does not know what became of the order
UNREADABLE = (
    msgspec.DecodeError,
    UnicodeError,
    RecursionError,
    KeyError,
    TypeError,
    AttributeError,
    ValueError,
    ArithmeticError,
)


class BinanceOrders(OrdersSent[Sent]):
    """One account's orders on a venue's instruments."""

    order_type = Sent
    response: ClassVar[str]  # what the venue shall say of an order it has taken
    unclear_codes: ClassVar[tuple[int, ...]] = UNKNOWN_CODES
    reasons: ClassVar[Mapping[int, RejectReason]] = {}  # other than the venue's own
    limits: ClassVar[tuple[Limit, ...]]  # until the venue has said them
    weights: ClassVar[Mapping[str, int]]  # by method; of a connection: connect

    def __init__(
        self,
        sequencer: Sequencer,
        specs: dict[int, ListingSpec],
        api_key: str,
        secret: str,
        epoch: str,
        send: Callable[[str], None],
        now_ms: Callable[[], int],
        budget: Budget | None = None,
    ) -> None:
        """`budget` is shared with everything else that uses the key."""
        super().__init__(sequencer, specs, epoch, now_ms)
        self.budget = budget or Budget(self.limits, now_ms)
        self.is_subscribed = False
        self.is_connected = False
        self.offset_ms = 0  # the venue's clock less ours
        self.coin_prices: dict[str, Decimal] = {}  # last known, of what fees may be paid with; in what we settle in
        self._is_clock_known = False
        self._ts_asked_ms: dict[str, int] = {}  # what a connection needs: when it was asked for
        self._api_key, self._mac = api_key, mac_of(secret)
        self._send = send

    # --- what each venue does in its own way ------------------------------------------------------------------
    @abstractmethod
    def _ask_fills(self, sent: Sent) -> None:
        """The venue has filled more than we have heard of."""

    @abstractmethod
    def _apply_message(self, message: Json) -> None:
        """A frame of the order connection, decoded."""

    def _may_ask(self, what: str) -> bool:
        """Are fills that this answer knows of, and we do not, lost rather than on their way?"""
        return what != "settled"

    # --- asking -----------------------------------------------------------------------------------------------
    def hear_up(self) -> None:
        """A connection for orders is open: read the venue's clock."""
        self.is_connected, self._is_clock_known = True, False
        self.budget.take(Use.NEEDED, REQUEST_WEIGHT=self.weights["connect"])
        self._ts_asked_ms.clear()
        self.check_session()

    def check_session(self) -> None:
        """What a connection needs is asked for until it is there; the clock now and then."""
        is_old = self._now_ms() - self._ts_asked_ms.get("time", 0) > CLOCK_EVERY_MS
        if (is_old or not self._is_clock_known) and self._is_due("time"):
            self._ask_time()

    def _is_due(self, what: str) -> bool:
        """May this be asked for, and was it not just now?"""
        is_due = self.is_able and self._now_ms() - self._ts_asked_ms.get(what, NEVER_MS) > ROUND_TRIP_MS
        if is_due:
            self._ts_asked_ms[what] = self._now_ms()
        return is_due

    def _ask_time(self) -> None:
        if self.budget.take(Use.NEEDED, REQUEST_WEIGHT=1, RAW_REQUESTS=1):
            self._send(msgspec.json.encode({"id": "time", "method": "time"}).decode())

    @property
    def is_able(self) -> bool:
        """May anything be asked?"""
        return self.is_connected and not self.budget.is_banned

    @property
    def banned_s(self) -> float:
        """How much longer nothing may be asked."""
        return self.budget.wait_s

    def hold_back(self, wait_ms: int) -> None:
        """The venue refuses whoever asks: ask nothing for so long."""
        self.counts["bans"] += 1
        self.budget.hold_back(wait_ms)

    def hear_down(self) -> None:
        """The connection is gone. What was on its way is unknown, and is asked about in time."""
        self.is_connected = False

    def check_unsent(self) -> None:
        """What could not leave, and what a connection still needs."""
        self._refuse_unsent()
        self.check_session()

    def command(self, command: Command) -> None:
        """What the core has decided leaves for the venue."""
        if command.kind == CommandKind.QUERY:
            if sent := self.orders.get(command.order_id):
                self._query(sent)
            return
        sent = self._note(command)
        use = Use.NEEDED if command.is_reduce_only else Use.ENTRY
        if not self.is_able:
            self._keep_back(sent)
        elif not self._ask(f"place {sent.order_id}", "order.place", self._order(sent, command), use, ORDERS=1):
            self._keep_back(sent, RejectReason.RATE)

    def _query(self, sent: Sent) -> None:
        self._ask(f"status {sent.order_id}", "order.status", self._named(sent.order_id))

    @property
    def is_ready(self) -> bool:
        return self.is_subscribed and self.is_connected

    @staticmethod
    def client_id(epoch: str, order_id: int) -> str:
        return client_id(epoch, order_id)

    def _order(self, sent: Sent, command: Command) -> Json:
        spec = self.specs[sent.listing_id]
        return {
            "symbol": symbol_of(spec),
            "side": "BUY" if sent.side > 0 else "SELL",
            "type": "LIMIT",
            "timeInForce": "IOC",
            "price": f"{command.price_ticks * spec.tick_size:f}",
            "quantity": f"{sent.lots * spec.lot_size:f}",
            "newClientOrderId": sent.name,
            "newOrderRespType": self.response,
            "recvWindow": RECEIVE_WINDOW_MS,
        }

    def _named(self, order_id: int) -> Json:
        sent = self.orders[order_id]
        return {"symbol": symbol_of(self.specs[sent.listing_id]), "origClientOrderId": sent.name}

    def _ask(self, request_id: str, method: str, params: Json, use: Use = Use.NEEDED, **amounts: int) -> bool:
        """Signed and sent now, or not at all: what the limits leave no room for is asked again when the core asks."""
        weight = self.weights.get(method, 1)
        if not self.is_connected or not self.budget.take(use, REQUEST_WEIGHT=weight, RAW_REQUESTS=1, **amounts):
            self.counts["held_back"] += 1
            return False
        signed = params | {"apiKey": self._api_key, "timestamp": self._now_ms() + self.offset_ms}
        signed["signature"] = sign(self._mac, "&".join([f"{name}={signed[name]}" for name in sorted(signed)]))
        self._send(msgspec.json.encode({"id": request_id, "method": method, "params": signed}).decode())
        return True

    # --- hearing ----------------------------------------------------------------------------------------------
    def hear(self, frame: str | bytes) -> None:
        """One frame of the order connection; what cannot be read is counted and changes nothing."""
        try:
            self._apply_message(msgspec.json.decode(frame))
        except UNREADABLE:
            self.counts["refused"] += 1

    def _own(self, name: str) -> Sent | None:
        """The order of ours with this name; somebody else's is counted."""
        number = name.rpartition("-")[2]
        sent = self.orders.get(int(number)) if number.isdecimal() else None
        if sent is not None and sent.name == name:
            return sent
        self.counts["foreign"] += 1
        return None

    def _apply_answer(self, message: Json) -> None:
        what, _, number = str(message.get("id")).partition(" ")
        error, sent = message.get("error"), self.orders.get(int(number or 0))
        status, code = (int(message["status"]), int(error["code"])) if error is not None else (OK, 0)
        self._apply_limits(message.get("rateLimits") or [])
        if error is not None:
            self._apply_error(code, error.get("data") or {})
        if what == "time" and error is None:
            self._apply_time(within(message["result"]["serverTime"], STAMP_MAX_MS))
        elif sent is None:
            self.counts["foreign"] += 1
        elif error is not None:
            self._apply_refusal(what, sent, status, code)
        elif what == "trades":
            self._apply_trades(sent, message["result"])
        else:
            self._apply_state(sent, message["result"], may_ask=self._may_ask(what))

    def _apply_state(self, sent: Sent, result: Json, *, may_ask: bool) -> None:
        names = "tradeId", "price", "qty", "commission", "commissionAsset"
        rows = [tuple(row[name] for name in names) for row in result.get("fills", [])]
        status, venue_id, executed = str(result["status"]), int(result["orderId"]), executed_of(result["executedQty"])
        self._apply_fills(sent, self._read_fills(sent, rows, 0))
        sent.venue_id = venue_id
        self._settle(sent, status, executed, 0, may_ask=may_ask)

    def _apply_error(self, code: int, data: Json) -> None:
        """What concerns us all, whichever request it answers."""
        if code == OUT_OF_TIME:
            self.counts["out_of_time"] += 1
            self._is_clock_known = False
            self.check_session()
        elif code == BANNED:
            now_ms = self._now_ms() + self.offset_ms
            until_ms = int(data.get("retryAfter", now_ms + BAN_MS))
            self.hold_back(until_ms - int(data.get("serverTime", now_ms)))

    def _apply_limits(self, rows: list[Json]) -> None:
        """What the venue has counted of all who use the key, or this address."""
        for row in rows:
            window_ms = UNITS_MS.get(row["interval"], 0) * within(row["intervalNum"], COUNT_MAX)
            self.budget.hear_used(str(row["rateLimitType"]), window_ms, within(row["count"], COUNT_MAX))

    def _apply_time(self, server_ms: int) -> None:
        """The venue's clock, read in the middle of a round trip short enough."""
        now_ms = self._now_ms()
        asked_ms = self._ts_asked_ms.get("time", 0)
        if now_ms - asked_ms <= ROUND_TRIP_MS:
            self.offset_ms = server_ms - (asked_ms + now_ms) // 2
            self._is_clock_known = True
            self.counts["clock_read"] += 1
        else:
            self.counts["clock_unclear"] += 1

    def _apply_trades(self, sent: Sent, rows: list[Json]) -> None:
        """The fills that were asked for; is the order done with them?"""
        names = "id", "price", "qty", "commission", "commissionAsset"
        self._apply_fills(sent, self._read_fills(sent, [tuple(row[name] for name in names) for row in rows], 0))
        self._ask(f"settled {sent.order_id}", "order.status", self._named(sent.order_id))

    def _apply_refusal(self, what: str, sent: Sent, status: int, code: int) -> None:
        """A clear no ends the order; an unclear one leaves it to be asked about."""
        is_refused = what == "place" and status < UNCLEAR_STATUS and code not in self.unclear_codes
        is_absent = what == "status" and code == NO_SUCH_ORDER and self._now_ms() - sent.ts_ms > ABSENCE_MS
        if not sent.is_done and (is_refused or is_absent):
            self._end(sent, Kind.REJECTED, self.reasons.get(code, RejectReason.VENUE))
        else:
            self.counts["unclear"] += 1

    def _read_fills(self, sent: Sent, rows: list[Any], ts_ns: int) -> list[Fill]:
        fills = read_fills(sent, rows, ts_ns, self.specs[sent.listing_id], self.sequencer.universe)
        self.counts["repeated_fills"] += len(rows) - len(fills)
        return fills

    def _apply_fills(self, sent: Sent, fills: list[Fill]) -> None:
        for fill in fills:
            sent.trades.add(fill.trade_id)
            worth = self._worth(sent, fill) if fill.coin else 0
            self._hear_fill(sent, fill.ticks, fill.lots, fill.atoms, fill.asset_id, fill.ts_ns, worth)

    def _worth(self, sent: Sent, fill: Fill) -> int:
        """Atoms of what we settle in: by the coin's last price, else as much as fees usually are."""
        universe, spec = self.sequencer.universe, self.specs[sent.listing_id]
        price = self.coin_prices.get(fill.coin)
        if price is None:
            self.counts["estimated_fees"] += 1
            ppm = int(universe.record[0]["listings"][sent.listing_id]["taker_fee_ppm"])
            worth = fill.ticks * spec.tick_size * fill.lots * spec.lot_size * ppm / 1_000_000
        else:
            worth = fill.coins * price
        return min(int((worth * 10 ** universe.decimals[spec.settle]).to_integral_value(ROUND_UP)), NUMBER_MAX)

    def _settle(self, sent: Sent, status: str, executed: Decimal, ts_ns: int, *, may_ask: bool = True) -> None:
        """What the venue says the order has come to; fills we have not heard of are asked for first."""
        if sent.is_done:
            return
        spec = self.specs[sent.listing_id]
        if executed > sent.filled_lots * spec.lot_size:
            if may_ask:
                self.counts["missed_fills"] += 1
                self._ask_fills(sent)
        elif status in FINAL:
            self._end(sent, Kind.REJECTED if status == "REJECTED" else Kind.EXPIRED, RejectReason.NONE, ts_ns)
        else:
            self._accept(sent, ts_ns)


def client_id(epoch: str, order_id: int) -> str:
    """An order's name at the venue: never used again."""
    return f"ets-{epoch}-{order_id}"


def mac_of(secret: str) -> hmac.HMAC:
    """HMAC-SHA256 that has taken in the secret."""
    return hmac.new(secret.encode(), digestmod=hashlib.sha256)


def sign(mac: hmac.HMAC, payload: str) -> str:
    """In hexadecimal; what has taken in the secret can sign again."""
    mine = mac.copy()
    mine.update(payload.encode())
    return mine.hexdigest()


def signature_of(secret: str, payload: str) -> str:
    return sign(mac_of(secret), payload)


def symbol_of(spec: ListingSpec) -> str:
    return spec.base + spec.quote
