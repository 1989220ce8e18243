"""What goes wrong between the emulated Coinbase and its customers, by the shares of `faults.py`, in Coinbase's words."""

from decimal import Decimal
from typing import Any

import msgspec

from ...core.kinds import Side
from ..binance.venue import Reply
from ..faults import LATE_S, Faults, Passage
from .venue import ROOT, Coinbase
from .wire import NS_PER_S, SIDES, Json

USER, BOOK = '"channel":"user"', '"channel":"l2_data"'
SNAPSHOT, UPDATE = '"type":"snapshot"', '"type":"update"'
OLD_NS = NS_PER_S  # a snapshot given before that is younger is still a good one
UNREADABLE = (msgspec.DecodeError, UnicodeError, RecursionError, LookupError, TypeError, ValueError, ArithmeticError)


class Trouble:
    """The way of a frame and of a request; server and drill go through it alike."""

    def __init__(self, venue: Coinbase, faults: Faults) -> None:
        self.venue, self.faults = venue, faults
        self._given: dict[str, tuple[int, list[Json]]] = {}  # the last snapshot of a product, and when it was told

    # --- what the venue says ----------------------------------------------------------------------------------
    def passage(self, frame: str, line: object) -> tuple[Passage, str]:
        """What becomes of a frame on one of the connections, and what it says then."""
        if USER not in frame:
            return self.faults.market(line), self._market_frame(frame)
        if self.faults.is_closed() or self.faults.happens("disconnect"):
            return Passage((), is_broken=True), frame
        if self.faults.happens("lost-report"):
            return Passage(()), frame
        late_s = LATE_S if self.faults.happens("late-report") else 0.0
        return Passage((late_s, late_s) if self.faults.happens("duplicate-report") else (late_s,)), frame

    def _market_frame(self, frame: str) -> str:
        if BOOK not in frame:
            return frame
        if SNAPSHOT in frame:
            return self._snapshot(frame)
        return self._crossed(frame) if UPDATE in frame else frame

    def _snapshot(self, frame: str) -> str:
        """A book, perhaps the one given before: its own stamp tells, the frame's does not."""
        message, now_ns = msgspec.json.decode(frame), self.faults.now_ns()
        product = message["events"][0]["product_id"]
        ts_ns, events = self._given.get(product, (now_ns, []))
        if now_ns - ts_ns > OLD_NS and self.faults.happens("old-snapshot"):
            return msgspec.json.encode(message | {"events": events}).decode()
        self._given[product] = now_ns, message["events"]
        return frame

    def _crossed(self, frame: str) -> str:
        """Perhaps a bid at the highest offer, and an offer at the lowest bid, in place of what changed."""
        message = msgspec.json.decode(frame)
        [event] = message["events"]
        bids, offers = ([one for one in event["updates"] if one["side"] == side] for side in SIDES)
        if not (bids and offers and self.faults.happens("crossed")):
            return frame
        high, low = max(offers, key=_price), min(bids, key=_price)
        crossed = [low | {"side": SIDES[1]}, high | {"side": SIDES[0]}]
        event["updates"] = [one | {"new_quantity": "1"} for one in crossed]
        return msgspec.json.encode(message).decode()

    # --- what it is asked -------------------------------------------------------------------------------------
    def http(self, method: str, path: str, query: str, body: str, headers: dict[str, str]) -> Reply | None:
        """A request put to the venue, and what becomes of its answer; None: none comes."""
        is_order = method == "POST" and path == f"{ROOT}orders"
        if refused := self._turned_away(is_order=is_order):
            return refused
        if is_order:
            self._rivals(body)
        reply = self.venue.http(method, path, query, body, headers)
        if is_order and self.faults.happens("lost-answer"):
            return None
        if is_order and self.faults.happens("unclear-answer"):
            return Reply(503, {"Content-Type": "text/plain"}, b"upstream connect error")
        if "/products" in path and self.faults.is_halted():
            return reply._replace(body=reply.body.replace(b'"trading_disabled":false', b'"trading_disabled":true'))
        return reply

    def _turned_away(self, *, is_order: bool) -> Reply | None:
        """Before anybody looks at it."""
        faults = self.faults
        if faults.is_closed():
            return Reply(503, {"Content-Type": "text/html"}, b"<html>We are down for maintenance</html>")
        if faults.is_banned() or (is_order and faults.is_storming()):
            errors = [{"id": "rate_limit_exceeded", "message": "Too many requests"}]
            return _json(429, {"errors": errors})
        if is_order and faults.is_halted():
            return _json(200, _refusal("TRADING_DISABLED"))
        if is_order and faults.happens("reject"):
            return _json(200, _refusal("PRODUCT_TRADING_HALTED"))
        return None

    def _rivals(self, body: str) -> None:
        """Somebody is faster than this order."""
        if not self.faults.happens("partial"):
            return
        try:
            order = msgspec.json.decode(body)
            [fields] = order["order_configuration"].values()
            symbol, side = order["product_id"], Side[order["side"]]
            found = self.faults.outpace(self.venue.exchange, symbol, side, fields["base_size"], fields["limit_price"])
        except (*UNREADABLE, AttributeError):
            return  # let the venue say what is wrong with it
        self.venue.streams.publish(found)


def _price(update: Json) -> Decimal:
    return Decimal(update["price_level"])


def _refusal(reason: str) -> Json:
    named = {"error": reason, "preview_failure_reason": f"PREVIEW_{reason}", "new_order_failure_reason": reason}
    return {"success": False, "error_response": named | {"message": "", "error_details": ""}}


def _json(status: int, answer: Any) -> Reply:
    return Reply(status, {"Content-Type": "application/json"}, msgspec.json.encode(answer))
