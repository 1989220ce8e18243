"""What goes wrong between a venue and its customers, on demand and by seed: `--fault NAME:SHARE`, as often as one likes."""

import random
from typing import NamedTuple

import msgspec

from ..errors import ExitCode, UserError

HELP = {
    "drop": "share of market frames lost on a connection",
    "duplicate": "share of market frames sent twice",
    "delay": "share of market frames that come late, behind those that follow",
    "disconnect": "share of frames after which the connection breaks",
    "lost-answer": "share of orders that are executed and never answered",
    "unclear-answer": "share of orders that are executed and answered with 503",
    "lost-report": "share of order events that are not told",
    "duplicate-report": "share of order events told twice",
    "late-report": "share of order events and answers that come late",
    "late-request": "share of requests that reach the venue seconds late",
    "reject": "share of orders turned away",
}
LATE_S = 0.4
LATE_REQUEST_S = 4.5  # the venue refuses what is older than its receive window of five


class Passage(NamedTuple):
    """What becomes of a frame: copies and how late each is; or the end of the connection."""

    delays_s: tuple[float, ...]
    is_broken: bool = False


class Faults:
    """Shares by name, and the dice."""

    def __init__(self, shares: dict[str, float], seed: int) -> None:
        self.shares = shares
        self.chance = random.Random(seed)  # noqa: S311 - dice, not keys

    def _happens(self, name: str) -> bool:
        share = self.shares.get(name, 0.0)
        return share > 0.0 and self.chance.random() < share

    def happens(self, name: str) -> bool:
        """For venues whose frames are told apart elsewhere."""
        return self._happens(name)

    def market(self) -> Passage:
        """A frame of a market stream."""
        if self._happens("disconnect"):
            return Passage((), is_broken=True)
        if self._happens("drop"):
            return Passage(())
        late_s = LATE_S * self.chance.random() if self._happens("delay") else 0.0
        return Passage((late_s, late_s)) if self._happens("duplicate") else Passage((late_s,))

    def answer(self, frame: str) -> tuple[Passage, str]:
        """A frame of the order connection: an event, or the answer to a request; perhaps another answer."""
        if self._happens("disconnect"):
            return Passage((), is_broken=True), frame
        late_s = LATE_S * self.chance.random() if self._happens("late-report") else 0.0
        if '"event"' in frame or '"e":"ORDER_TRADE_UPDATE"' in frame or '"e":"ACCOUNT_UPDATE"' in frame:
            if self._happens("lost-report"):
                return Passage(()), frame
            return Passage((late_s, late_s) if self._happens("duplicate-report") else (late_s,)), frame
        if '"clientOrderId"' in frame:
            if self._happens("lost-answer"):
                return Passage(()), frame
            if self._happens("unclear-answer"):
                error = {"code": -1000, "msg": "An unknown error occurred while processing the request."}
                request_id = msgspec.json.decode(frame)["id"]
                frame = msgspec.json.encode({"id": request_id, "status": 503, "error": error}).decode()
        return Passage((late_s,)), frame

    def request_delay_s(self) -> float:
        """How much longer than usual a request is on its way."""
        return LATE_REQUEST_S * self.chance.random() if self._happens("late-request") else 0.0

    def refusal(self, request: str) -> str:
        """The answer to an order that is turned away before anybody looks at it; empty if it is let through."""
        if '"order.place"' not in request or not self._happens("reject"):
            return ""
        error = {"code": -1015, "msg": "Too many new orders; current limit is 50 orders per 10 SECOND."}
        answer = {"id": msgspec.json.decode(request)["id"], "status": 429, "error": error}
        return msgspec.json.encode(answer).decode()


def parse(texts: list[str], seed: int) -> Faults:
    """["drop:0.01", ...]; everything wrong with them at once."""
    shares, problems = {}, list[str]()
    for text in texts:
        name, _, share = text.partition(":")
        try:
            shares[name] = float(share)
        except ValueError:
            problems.append(f"{text}: its share is no number")
            continue
        if name not in HELP:
            problems.append(f"{text}: no such fault")
        elif not 0.0 <= shares[name] <= 1.0:
            problems.append(f"{text}: a share is between 0 and 1")
    if problems:
        known = "; ".join(f"{name}: {what}" for name, what in HELP.items())
        raise UserError("faults: " + "; ".join(problems), known, ExitCode.USAGE)
    return Faults(shares, seed)
