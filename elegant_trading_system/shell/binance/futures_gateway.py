"""Orders to Binance USD-M over ws-fapi, and what it says of them on the user stream, without a socket.

Answers carry no fills: these come on another connection, sooner or later than the answer, and over REST when they seem
to be lost. Funding comes there too. What closes a position without an order of ours (liquidation, deleveraging) halts
entries: our books are then wrong and a person must look.
"""

from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from types import MappingProxyType

import msgspec

from ...core.kinds import Kind, OperatorCommand, RejectReason
from ...data.tape import ListingSpec
from ..budget import Budget, Limit
from ..command import Command
from ..link import OpenOrder
from ..orders import NS_PER_MS
from ..sequencer import Sequencer
from .fills import NUMBER_MAX, Fill, Sent, executed_of, within
from .futures_setup import ListenKey
from .orders import OK, STAMP_MAX_MS, UNKNOWN_CODES, UNREADABLE, BinanceOrders, Json, symbol_of

DUPLICATE = -4116  # an order of this name is there: it must be asked about, not sent again
REASONS = {-2018: RejectReason.BALANCE, -2019: RejectReason.BALANCE, -2022: RejectReason.REDUCE_ONLY}
FILLS = ("TRADE", "CALCULATED")  # the second is a liquidation's
FORCED = ("autoclose-", "adl_autoclose", "settlement_autoclose-")
FUNDING_SLOT_MS = 3_600_000  # payments are hours apart: the same amount twice within one is told twice
CLOCKS_MS = 1000  # by which the venue's clock and ours may differ; a payment misjudged shows in the balance
REMEMBERED_MAX = 10_000
INCOME_ROWS_MAX = 1000  # of one answer
INCOME_PAST_MS = 3 * 86_400_000  # nothing is told later than that
Request = Callable[[str, str, str, Json], None]  # name, method, path, parameters; the answer comes to hear_reply
Payment = tuple[str, Decimal, int]  # asset, amount, hour


class Payments:
    """Funding, told as events and listed over REST: each payment counts once, whichever said it first."""

    def __init__(self) -> None:
        self._counted, self._told = Counter[Payment](), Counter[Payment]()
        self._events: dict[tuple[str, str, int], None] = {}

    def is_new(self, asset: str, amount: str, wallet: str, ts_ms: int) -> bool:
        """An event. A copy of one leaves the same wallet behind, another payment does not."""
        event, payment = (asset, wallet, ts_ms), _payment(asset, amount, ts_ms)
        if event in self._events:
            return False
        self._events[event] = None
        if len(self._events) > REMEMBERED_MAX:
            del self._events[next(iter(self._events))]
        self._told[payment] += 1
        if self._told[payment] <= self._counted[payment]:
            return False
        self._counted[payment] += 1
        return True

    def missing(self, rows: list[Json]) -> list[Payment]:
        """The list since the session began: what no event has told."""
        listed = Counter(_payment(row["asset"], row["income"], int(row["time"])) for row in rows)
        found = [payment for payment, count in listed.items() for _ in range(count - self._counted[payment])]
        self._counted |= listed
        return found

    def forget(self, ts_ms: int) -> None:
        """Of before this nothing will be listed any more."""
        first = _hour(ts_ms) - 1
        for counter in (self._counted, self._told):
            for payment in [payment for payment in counter if payment[2] < first]:
                del counter[payment]


def _payment(asset: str, amount: str, ts_ms: int) -> Payment:
    return asset, Decimal(amount), _hour(ts_ms)


def _hour(ts_ms: int) -> int:
    return (ts_ms + FUNDING_SLOT_MS // 2) // FUNDING_SLOT_MS


class BinanceFuturesGateway(BinanceOrders):
    """One account's orders on the venue's perpetuals."""

    response = "RESULT"
    unclear_codes = (*UNKNOWN_CODES, DUPLICATE)
    reasons = MappingProxyType(REASONS)
    limits = (
        Limit("REQUEST_WEIGHT", 60_000, 2400),
        Limit("ORDERS", 60_000, 1200),
        Limit("ORDERS", 10_000, 300),
    )
    weights = MappingProxyType({"connect": 5, "order.place": 0})

    def __init__(
        self,
        sequencer: Sequencer,
        specs: dict[int, ListingSpec],
        api_key: str,
        secret: str,
        epoch: str,
        send: Callable[[str], None],
        now_ms: Callable[[], int],
        request: Request,
        notice: Callable[[str], None] = lambda _text: None,
        budget: Budget | None = None,
    ) -> None:
        super().__init__(sequencer, specs, api_key, secret, epoch, send, now_ms, budget)
        self.payments, self.listen_key = Payments(), ListenKey()
        self._request, self._notice = request, notice
        heard_ms = sequencer.ts_ns // NS_PER_MS  # before a crash; what was paid up to there is in the ledger
        self._income_from_ms = heard_ms + CLOCKS_MS if heard_ms else now_ms()
        self._is_income_due = False

    def _order(self, sent: Sent, command: Command) -> Json:
        """An exit may close, never open: the venue refuses what would."""
        params = super()._order(sent, command)
        return params | {"reduceOnly": "true"} if command.is_reduce_only else params

    def _may_ask(self, what: str) -> bool:
        """Behind the answer to an order its fills are on their way, if somebody listens."""
        return what == "status" or (what == "place" and not self.is_subscribed)

    def _ask_fills(self, sent: Sent) -> None:
        params = {"symbol": symbol_of(self.specs[sent.listing_id]), "orderId": sent.venue_id}
        self._request(f"trades {sent.order_id}", "GET", "v1/userTrades", params)

    def _apply_message(self, message: Json) -> None:
        self._apply_answer(message)

    def restore(self, orders: list[OpenOrder]) -> None:
        """After a crash funding that nobody heard of is asked for, whether or not orders were open."""
        super().restore(orders)
        self._is_income_due = True

    def unsettled(self) -> int:
        if self._is_income_due and self.is_subscribed:
            self.ask_income()
        return super().unsettled() + self._is_income_due

    # --- the user stream --------------------------------------------------------------------------------------
    def hear_user_up(self) -> None:
        """The user stream is open: what was said while it was not is asked for."""
        self.is_subscribed = True
        self.ask_income()
        if self.is_connected:
            for sent in [sent for sent in self.orders.values() if not sent.is_done]:
                self._ask(f"status {sent.order_id}", "order.status", self._named(sent.order_id))

    def ask_income(self) -> None:
        """Funding whose event was lost shows in no answer to anything else: ask now and then."""
        params = {"incomeType": "FUNDING_FEE", "startTime": self._income_from_ms, "limit": INCOME_ROWS_MAX}
        self._request("income", "GET", "v1/income", params)

    def hear_user_down(self) -> None:
        self.is_subscribed = False

    def hear_event(self, frame: str | bytes) -> None:
        """One frame of the user stream; what cannot be read is counted."""
        try:
            event = msgspec.json.decode(frame)
            if event["e"] == "listenKeyExpired":  # the connection stays open and says nothing more
                self.listen_key.expire()
            elif event["e"] == "ORDER_TRADE_UPDATE":
                self._apply_order_event(event["o"])
            elif event["e"] == "ACCOUNT_UPDATE" and event["a"]["m"] == "FUNDING_FEE":
                self._apply_funding(event["a"]["B"], within(event["T"], STAMP_MAX_MS))
        except UNREADABLE:
            self.counts["refused"] += 1

    def _apply_order_event(self, order: Json) -> None:
        own, is_fill = str(order["c"]), order["x"] in FILLS
        if own.startswith(FORCED) and is_fill:
            self._halt(order)
        sent = self._own(own)
        if sent is None:
            return
        if order["s"] != symbol_of(self.specs[sent.listing_id]):
            raise ValueError("an order of ours on another instrument")
        ts_ms, venue_id, executed = within(order["T"], STAMP_MAX_MS), int(order["i"]), executed_of(order["z"])
        status, fills = str(order["X"]), list[Fill]()
        if is_fill:
            row = order["t"], order["L"], order["l"], order["n"], order["N"]
            fills = self._read_fills(sent, [row], ts_ms * NS_PER_MS)
        self._apply_fills(sent, fills)
        sent.venue_id = venue_id
        self._settle(sent, status, executed, ts_ms * NS_PER_MS)

    def _halt(self, order: Json) -> None:
        """The venue has closed what we hold: nothing is opened any more."""
        self.counts["forced"] += 1
        self._notice(
            f"{order['s']}: the venue itself has traded {order['S']} {order['l']} at {order['L']} ({order['c']})"
        )
        if self.counts["forced"] == 1:
            self.sequencer.hear(Kind.OPERATOR, 0, code=OperatorCommand.HALT)

    def _apply_funding(self, rows: list[Json], ts_ms: int) -> None:
        """All rows are read before one of them counts."""
        found = [(str(row["a"]), row["bc"], str(row["wb"]), self._atoms(row["a"], row["bc"])) for row in rows]
        for asset, amount, wallet, atoms in found:
            if self.payments.is_new(asset, amount, wallet, ts_ms):
                self._fund(asset, atoms, ts_ms * NS_PER_MS)

    def _atoms(self, asset: str, amount: str | Decimal) -> int:
        """An amount of an asset we settle in; 0 of another. ValueError and its kin when it is none."""
        exact = Decimal(amount) * 10 ** self.sequencer.universe.decimals.get(asset, 0)
        return within(abs(exact), NUMBER_MAX) * (-1 if exact < 0 else 1)

    def _fund(self, asset: str, atoms: int, ts_ns: int) -> None:
        universe = self.sequencer.universe
        settled = [listing_id for listing_id, spec in self.specs.items() if spec.settle == asset]
        if not settled:
            self.counts["foreign"] += 1
            return
        self.sequencer.hear(
            Kind.FUNDING,
            settled[0],  # the venue does not say whose; the ledger is the asset's
            ts_venue_ns=ts_ns,
            atoms=atoms,
            asset_id=universe.assets.index(asset),
        )

    def _apply_income(self, rows: list[Json]) -> None:
        """A page of what was paid; the next is asked for while they are full. What is long past is asked for no more."""
        last_ms = max([within(row["time"], STAMP_MAX_MS) for row in rows], default=0)
        for row in rows:
            self._atoms(row["asset"], row["income"])
        for asset, amount, _ in self.payments.missing(rows):
            self._fund(asset, self._atoms(asset, amount), 0)
        if len(rows) >= INCOME_ROWS_MAX and last_ms > self._income_from_ms:
            self._income_from_ms = last_ms
            self.ask_income()
        else:
            self._is_income_due = False
            self._income_from_ms = max(self._income_from_ms, self._now_ms() - INCOME_PAST_MS)
            self.payments.forget(self._income_from_ms)

    # --- answers over REST ------------------------------------------------------------------------------------
    def hear_reply(self, name: str, status: int, body: bytes) -> None:
        """What came of a request; one that failed is asked again when the core asks."""
        what, _, number = name.partition(" ")
        try:
            rows = msgspec.json.decode(body)
            if status != OK:
                self.counts["unclear"] += 1
            elif not isinstance(rows, list):
                self.counts["refused"] += 1
            elif what == "trades":
                self._apply_trades(self.orders[int(number)], rows)
            elif what == "income":
                self._apply_income(rows)
        except UNREADABLE:
            self.counts["refused"] += 1
