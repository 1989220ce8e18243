"""Slow, obvious twins of what the package does fast: plain dicts, exact decimals, the venue's rules word by word."""

import gzip
import json
from collections.abc import Iterator
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

Side = dict[int, int]  # lots by ticks


class Book(NamedTuple):
    """A book after a message. The dicts go on changing with the next one."""

    path: Path
    line: int
    ts_local_ns: int
    stamp_ms: int  # the venue's own, 0 where it says none
    bids: Side
    asks: Side


class Print(NamedTuple):
    path: Path
    line: int
    ts_local_ns: int
    stamp_ms: int
    side: int  # the aggressor's: 1 bought, -1 sold
    price: Decimal
    size: Decimal


def capture_lines(paths: list[Path]) -> Iterator[tuple[Path, int, int, dict[str, Any]]]:
    """(file, line, receive time, JSON) of Binance captures, in the order of paths."""
    for path in paths:
        with gzip.open(path, "rt") as file:
            for number, line in enumerate(file, 1):
                stamp, _, text = line.partition(" ")
                yield path, number, int(stamp), json.loads(text)


def capture_books(paths: list[Path], tick_size: Decimal, lot_size: Decimal) -> Iterator[Book]:
    """The book after every snapshot and depth message that counts, of one listing's captures in time order."""
    bids: Side = {}
    asks: Side = {}
    last_id, is_live, is_first = 0, False, True
    buffered: list[tuple[dict[str, Any], Path, int]] = []
    for path, number, ts_ns, message in capture_lines(paths):
        waiting: list[tuple[dict[str, Any], Path, int]] = []
        if "lastUpdateId" in message:
            last_id, is_live, is_first = message["lastUpdateId"], True, True
            bids.clear()
            asks.clear()
            set_levels(bids, message["bids"], tick_size, lot_size)
            set_levels(asks, message["asks"], tick_size, lot_size)
            yield Book(path, number, ts_ns, message.get("T", 0), bids, asks)
            waiting, buffered = buffered, []
        elif "@depth" in message["stream"]:
            (waiting if is_live else buffered).append((message["data"], path, number))
        for diff, of_path, of_number in waiting:
            if is_old(diff, last_id, is_first):
                continue
            assert is_next(diff, last_id, is_first), f"{of_path}:{of_number}: messages are missing"
            last_id, is_first = diff["u"], False
            set_levels(bids, diff["b"], tick_size, lot_size)
            set_levels(asks, diff["a"], tick_size, lot_size)
            yield Book(of_path, of_number, ts_ns, diff.get("T", diff["E"]), bids, asks)


def is_old(diff: dict[str, Any], last_id: int, is_first: bool) -> bool:
    if "pu" in diff:
        return is_first and int(diff["u"]) < last_id
    return int(diff["u"]) <= last_id


def is_next(diff: dict[str, Any], last_id: int, is_first: bool) -> bool:
    if "pu" not in diff:
        return int(diff["U"]) <= last_id + 1
    return int(diff["pu"]) <= last_id <= int(diff["u"]) if is_first else int(diff["pu"]) == last_id


def set_levels(side: Side, rows: list[list[str]], tick_size: Decimal, lot_size: Decimal) -> None:
    """Set or remove levels; a size finer than a lot counts as its whole lots."""
    for price, size in rows:
        ticks, lots = whole_steps(price, tick_size), whole_steps(size, lot_size)
        if lots:
            side[ticks] = lots
        else:
            side.pop(ticks, None)


@lru_cache(1 << 20)
def whole_steps(text: str, step: Decimal) -> int:
    return int(Decimal(text) // step)


def capture_prints(paths: list[Path]) -> Iterator[Print]:
    """Every trade of the captures."""
    for path, number, ts_ns, message in capture_lines(paths):
        if message.get("stream", "").endswith("@trade"):
            data = message["data"]
            side = -1 if data["m"] else 1
            yield Print(path, number, ts_ns, data["T"], side, Decimal(data["p"]), Decimal(data["q"]))


def tape_books(packets: Any, levels: Any) -> Iterator[tuple[Any, Side, Side]]:
    """(packet, bids, asks) after every SNAPSHOT (2) and DEPTH (1) packet of one listing's tape."""
    bids: Side = {}
    asks: Side = {}
    prices, lots = levels["price_ticks"].tolist(), levels["lots"].tolist()
    for packet in packets:
        kind, row = int(packet["kind"]), int(packet["level_begin"])
        if kind == 2:
            bids.clear()
            asks.clear()
        if kind in (1, 2):
            for side, count in ((bids, int(packet["buy_count"])), (asks, int(packet["sell_count"]))):
                for i in range(row, row + count):
                    if lots[i]:
                        side[prices[i]] = lots[i]
                    else:
                        side.pop(prices[i], None)
                row += count
            yield packet, bids, asks
