"""What a Binance USD-M account is asked to be before it trades, and how near its liquidation is: requests and answers."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from ...errors import UserError

Json = dict[str, Any]
OK = 200
NO_NEED = (-4046, -4059)  # it is so already
KEY_RENEWAL_MS = 25 * 60_000  # a key lives for an hour
KEY_RETRY_MS = 5_000
NO_KEY = -1125
DISTANCE_MIN = Decimal("0.1")  # of the mark: nearer to liquidation than this a person should know


class Request(NamedTuple):
    """A signed request to be made before trading, and what it is for."""

    method: str
    path: str
    params: Json
    purpose: str


def requests(symbols: Iterable[str], leverage: int) -> list[Request]:
    """One position an instrument, all money as one margin, a leverage."""
    found = [Request("POST", "v1/positionSide/dual", {"dualSidePosition": "false"}, "one-way mode")]
    for symbol in symbols:
        crossed = {"symbol": symbol, "marginType": "CROSSED"}
        found.append(Request("POST", "v1/marginType", crossed, f"cross margin for {symbol}"))
        borrowed = {"symbol": symbol, "leverage": leverage}
        found.append(Request("POST", "v1/leverage", borrowed, f"leverage {leverage} for {symbol}"))
    return found


def check(request: Request, status: int, body: bytes) -> None:
    """Raises UserError when the account is not what it was asked to be."""
    try:
        answer = msgspec.json.decode(body, type=Json)
    except (msgspec.DecodeError, UnicodeError):
        answer = {}
    code = answer.get("code")
    if status != OK and code not in NO_NEED:
        words = answer.get("msg") or body[:200].decode(errors="replace")
        hint = "close open positions and orders there, or set it by hand"
        raise UserError(f"binanceusdm refused {request.purpose}: {words} ({code or status})", hint)


def liquidation_distances(risks: list[Json]) -> dict[str, Decimal]:
    """How far the mark may move against each open position before it is liquidated, as a share of the mark.

    A position without a liquidation price cannot be liquidated: it is not listed.
    """
    found: dict[str, Decimal] = {}
    for risk in risks:
        mark, liquidation = Decimal(risk["markPrice"]), Decimal(risk["liquidationPrice"])
        if Decimal(risk["positionAmt"]) and liquidation > 0 and mark > 0:
            found[risk["symbol"]] = abs(mark - liquidation) / mark
    return found


class LiquidationWatch:
    """Says once when a position has come near its liquidation, and again only after it has been away."""

    def __init__(self) -> None:
        self.distances: dict[str, Decimal] = {}
        self._near: set[str] = set()

    def hear(self, risks: list[Json]) -> list[str]:
        self.distances = liquidation_distances(risks)
        near = {symbol for symbol, distance in self.distances.items() if distance < DISTANCE_MIN}
        new, self._near = sorted(near - self._near), near
        return [f"{symbol} is {self.distances[symbol]:.1%} from its liquidation" for symbol in new]


class ListenKey:
    """The key of the user stream: asked for, kept alive, replaced when it is gone. Whoever moves bytes asks `due`."""

    def __init__(self) -> None:
        self.name = ""
        self._ts_due_ms = 0

    def due(self, now_ms: int) -> str:
        """The method of the request that is to be made now; empty when none is."""
        if now_ms < self._ts_due_ms:
            return ""
        self._ts_due_ms = now_ms + KEY_RETRY_MS
        return "PUT" if self.name else "POST"

    def hear(self, method: str, status: int, body: bytes, now_ms: int) -> bool:
        """The answer; True when the key is alive."""
        try:
            answer = msgspec.json.decode(body, type=Json)
        except (msgspec.DecodeError, UnicodeError):
            return False
        if status == OK:
            self.name = str(answer.get("listenKey") or self.name)
            self._ts_due_ms = now_ms + KEY_RENEWAL_MS
        elif method == "PUT" and answer.get("code") == NO_KEY:
            self.expire()
        return status == OK and bool(self.name)

    def expire(self) -> None:
        """Nothing more comes by it, though the connection stays open."""
        self.name, self._ts_due_ms = "", 0
