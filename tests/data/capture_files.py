"""Small Binance captures, made line by line."""

import gzip
import json
from pathlib import Path
from typing import Any

START_NS = 1_700_000_000_000_000_000
Rows = list[list[str]]


def line(at_ms: float, message: dict[str, Any]) -> bytes:
    """A message received at_ms after the start, by a recorder whose clock is right."""
    return b"%d %b\n" % (START_NS + int(at_ms * 1e6), json.dumps(message, separators=(",", ":")).encode())


def venue_ms(at_ms: float) -> int:
    """The venue's stamp of a message received at_ms: it travelled 5 ms."""
    return START_NS // 1_000_000 + int(at_ms) - 5


def snapshot(at_ms: float, last_id: int, bids: Rows | None = None, asks: Rows | None = None, **more: Any) -> bytes:
    bids = [["100.00", "1.00000"]] if bids is None else bids
    asks = [["101.00", "1.00000"]] if asks is None else asks
    return line(at_ms, {"lastUpdateId": last_id, "bids": bids, "asks": asks, **more})


def spot_depth(at_ms: float, first: int, last: int, bids: Rows | None = None, asks: Rows | None = None) -> bytes:
    return stream(at_ms, "depth@100ms", {"e": "depthUpdate", "U": first, "u": last, "b": bids or [], "a": asks or []})


def futures_depth(at_ms: float, previous: int, first: int, last: int, bids: Rows | None = None) -> bytes:
    ids = {"U": first, "u": last, "pu": previous}
    stamp = {"T": venue_ms(at_ms) - 1}
    return stream(at_ms, "depth@0ms", {"e": "depthUpdate", **stamp, **ids, "b": bids or [], "a": []})


def trade(at_ms: float, trade_id: int, price: str = "100.50", size: str = "0.10000", **more: Any) -> bytes:
    data = {"e": "trade", "t": trade_id, "p": price, "q": size, "T": venue_ms(at_ms), "m": False, **more}
    return stream(at_ms, "trade", data)


def stream(at_ms: float, name: str, data: dict[str, Any]) -> bytes:
    symbol = data.get("s", "BTCUSDT")
    return line(at_ms, {"stream": f"{symbol.lower()}@{name}", "data": {"E": venue_ms(at_ms), "s": symbol, **data}})


def write(path: Path, *lines: bytes) -> Path:
    path.write_bytes(gzip.compress(b"".join(lines), 1))
    return path


GOOD = [
    spot_depth(0, 1, 5, [["99.00", "1.00000"]]),
    trade(5, 1),
    snapshot(10, 7),
    spot_depth(100, 6, 9, [["100.50", "2.00000"]], [["102.00", "3.00000"]]),
    trade(150, 2, m=True),
    spot_depth(200, 10, 12, [["100.50", "0.00000"]]),
]
