"""Bitstamp lines made by hand, what a tape tells of them, and the slow obvious book of the recorded ones."""

import json
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from elegant_trading_system.core.kinds import BookState, Kind
from elegant_trading_system.data.catalog import Catalog
from elegant_trading_system.data.importers import import_paths
from elegant_trading_system.data.tape import Quality, Tape
from tests.shared_data import shared_data

FOLDER = "bitstamp-l3-20150501"
START_MS = 1_430_438_400_000
BTC = 10**7  # in lots of the tape
LOT_SATOSHIS = 10
BUY, SELL = 0, 1
Rows = list[tuple[int, int]]
Json = dict[str, Any]


# --- made by hand ------------------------------------------------------------------------------------------------
def line(at_ms: int, name: str, message: Json) -> bytes:
    return f"{START_MS + at_ms} {name} {json.dumps(message)}\n".encode()


def order(at_ms: int, what: str, order_id: int, side: int, price: str, amount: str, **more: Any) -> bytes:
    message = {"price": price, "amount": amount, "datetime": "1430438400", "id": order_id, "order_type": side}
    return line(at_ms, f"order_{what}", message | more)


def trade(at_ms: int, trade_id: int, price: Any, amount: Any) -> bytes:
    return line(at_ms, "trade", {"price": price, "amount": amount, "id": trade_id})


def vendor(at_ms: int, bids: list[list[str]], asks: list[list[str]]) -> bytes:
    return line(at_ms, "order_book", {"bids": bids, "asks": asks})


OPENING = vendor(10, [["100.00", "2.5"], ["99.00", "1.0"]], [["101.00", "3.0"], ["102.00", "1.0"]])
GOOD = [
    order(0, "created", 10, BUY, "100.00", "2.00000000"),
    OPENING,  # 0.5 at 100.00 are of an order placed before
    order(20, "created", 11, SELL, "100.00", "1.50000000"),  # would cross: it came to take
    order(30, "deleted", 5, BUY, "100.00", "0.00000000"),  # of the order placed before; nobody said how much it had
    order(30, "changed", 11, SELL, "100.00", "1.00000000"),
    trade(40, 1, 100.0, 0.5),
    order(50, "changed", 10, BUY, "100.00", "1.00000000"),
    order(50, "deleted", 11, SELL, "100.00", "0.00000000"),
    trade(50, 2, 99.99999999999999, 1.0000000000000002),  # what binary floats make of it
    order(60, "deleted", 11, SELL, "100.00", "0.00000000"),  # told twice
    order(70, "created", 12, SELL, "100.50", "0.25000000"),
]
TOLD = [
    (0, "RESYNC", [], []),
    (10, "SNAPSHOT", [(10_000, 25_000_000), (9_900, BTC)], [(10_100, 3 * BTC), (10_200, BTC)]),
    (20, "DEPTH", [], []),
    (30, "DEPTH", [], []),
    (40, "TRADE", [], [(10_000, BTC // 2)]),  # a seller came
    (40, "DEPTH", [(10_000, 2 * BTC)], []),
    (50, "TRADE", [], [(10_000, BTC)]),
    (50, "DEPTH", [(10_000, BTC)], []),
    (60, "DEPTH", [], []),
    (70, "DEPTH", [], [(10_050, BTC // 4)]),
]


def imported(tmp_path: Path, *lines: bytes, name: str = "made.log") -> Tape:
    path = tmp_path / name
    path.write_bytes(b"".join(lines))
    return of_file(path, tmp_path / "catalog")


def of_file(path: Path, catalog: Path) -> Tape:
    import_paths("bitstamp", [path], catalog)
    [tape] = Catalog(catalog).tapes()
    return tape


def told(tape: Tape) -> list[tuple[int, str, Rows, Rows]]:
    """(ms after the start, kind or state, buy rows, sell rows) of every packet."""
    found, levels = [], tape.levels.tolist()
    for packet in tape.packets:
        begin, buys = int(packet["level_begin"]), int(packet["buy_count"])
        rows = levels[begin : begin + buys + int(packet["sell_count"])]
        kind = Kind(int(packet["kind"]))
        name = BookState(int(packet["code"])).name if kind is Kind.STATUS else kind.name
        found.append((int(packet["ts_local_ns"]) // 10**6 - START_MS, name, rows[:buys], rows[buys:]))
    return found


def counted(quality: Quality) -> dict[str, int]:
    """What is not zero."""
    return {name: value for name, value in quality.model_dump().items() if value}


# --- the recording -----------------------------------------------------------------------------------------------
def recording() -> Path:
    return shared_data(FOLDER) / "2015-05-01.log.xz"


def ticks_of(price: Any) -> int:
    return round(float(price) * 100)


def lots_of(amount: Any) -> int:
    return round(float(amount) * 10**8)


Book = tuple[dict[int, int], dict[int, int]]


class Twin:
    """The slow obvious book: every order in a dict, what rests unlisted in another, levels added up when asked."""

    def __init__(self) -> None:
        self.orders: dict[int, tuple[int, int, int]] = {}  # side, ticks, lots
        self.waiting: list[int] = []
        self.unlisted: Counter[tuple[int, int]] = Counter()  # negative: the vendor has less than its orders
        self.ended: set[int] = set()
        self.first_id = -1
        self.is_open = False
        self.before: list[tuple[int, Book]] = []  # books of the last second
        self.vanished: list[tuple[int, int, int]] = []  # ms, side, ticks of unlisted orders that were filled
        self.book: Book = ({}, {})

    def add_up(self) -> Book:
        sums: Counter[tuple[int, int]] = Counter(self.unlisted)
        for order_id, (side, ticks, lots) in self.orders.items():
            if order_id not in self.waiting:
                sums[side, ticks] += lots
        return tuple(
            {ticks: lots for (s, ticks), lots in sums.items() if s == side and lots > 0} for side in (BUY, SELL)
        )  # type: ignore[return-value]

    def crosses(self, book: Book, side: int, ticks: int) -> bool:
        if side == BUY:
            return bool(book[SELL]) and ticks >= min(book[SELL])
        return bool(book[BUY]) and ticks <= max(book[BUY])

    def listed_at(self, side: int, ticks: int) -> int:
        rests = ((i, placed) for i, placed in self.orders.items() if i not in self.waiting)
        return sum(lots for _, (s, t, lots) in rests if (s, t) == (side, ticks))

    def take(self, ts_ms: int, name: str, message: Json) -> None:
        self.before = [(at, book) for at, book in self.before if at >= ts_ms - 1000]
        was, is_filled = self.book, False
        if name == "order_book":
            self.take_vendor(message)
        elif name == "trade":
            self.take_trade(ts_ms, message)
        elif message["id"] not in self.ended:
            is_filled = self.take_order(ts_ms, name, message)
        self.book = self.add_up()
        for order_id in [] if is_filled else sorted(self.waiting):
            side, ticks, _ = self.orders[order_id]
            if not self.crosses(self.book, side, ticks):
                self.waiting.remove(order_id)
                self.book = self.add_up()
        if self.book != was:
            self.before.append((ts_ms, was))

    def take_order(self, ts_ms: int, name: str, message: Json) -> bool:
        """Whether an order that rested was filled."""
        order_id, side = message["id"], message["order_type"]
        ticks, lots = ticks_of(message["price"]), lots_of(message["amount"])
        self.first_id = order_id if self.first_id < 0 else self.first_id
        old = self.orders.pop(order_id, None)
        was_waiting = order_id in self.waiting
        self.waiting = [each for each in self.waiting if each != order_id]
        may_fill = name == "order_changed" or (name == "order_deleted" and lots == 0)
        is_filled = may_fill and not was_waiting and old is not None and lots < old[2]
        if old is not None:
            left = self.listed_at(*old[:2])
            self.unlisted[old[:2]] = max(self.unlisted[old[:2]], -left)
        elif name != "order_created" and order_id < self.first_id:
            self.unlisted[side, ticks] -= min(lots, max(0, self.unlisted[side, ticks]))
            if may_fill:
                is_filled = True
                self.vanished.append((ts_ms, side, ticks))
        if name == "order_deleted":
            self.ended.add(order_id)
            return is_filled
        if self.crosses(self.add_up(), side, ticks):
            self.waiting.append(order_id)
        self.orders[order_id] = (side, ticks, lots)
        return is_filled

    def take_trade(self, ts_ms: int, message: Json) -> None:
        ticks, lots = ticks_of(message["price"]), lots_of(message["amount"])
        for at, side, where in self.vanished:
            if where == ticks and at >= ts_ms - 1000:
                self.unlisted[side, ticks] -= min(lots, max(0, self.unlisted[side, ticks]))
        self.vanished = [each for each in self.vanished if each[2] != ticks]

    def take_vendor(self, message: Json) -> None:
        for side, shown in enumerate(shown_by(message)):
            ours = self.book[side]
            worst = min(shown) if side == BUY else max(shown)
            inside = {t for t in ours if (t >= worst if side == BUY else t <= worst)}
            for ticks in shown.keys() | inside:
                have, want = ours.get(ticks, 0), shown.get(ticks, 0)
                if have != want and not any(had(book, side, ticks) == want for book in self.steps(side, ticks)):
                    self.unlisted[side, ticks] = want - self.listed_at(side, ticks)
        self.is_open = True

    def steps(self, side: int, ticks: int) -> Iterator[Book]:
        """Books of the last second that had something else at this level than the book after them."""
        books = [book for _, book in self.before] + [self.book]
        return (one for one, other in pairwise(books) if had(one, side, ticks) != had(other, side, ticks))


def had(book: Book, side: int, ticks: int) -> int:
    return book[side].get(ticks, 0)


def in_lots(book: Book) -> Book:
    """As the tape has it: dust below a lot is no level."""
    bids, asks = ({t: n // LOT_SATOSHIS for t, n in side.items() if n >= LOT_SATOSHIS} for side in book)
    return bids, asks


def shown_by(message: Json) -> Book:
    bids, asks = ({ticks_of(p): lots_of(n) for p, n in message[side]} for side in ("bids", "asks"))
    return bids, asks


class TapeBooks:
    """A dict of the tape's levels, packet by packet."""

    def __init__(self, tape: Tape) -> None:
        self.story, self.at = told(tape), 0
        self.book: Book = ({}, {})

    def until(self, ts_ms: int) -> Book:
        while self.at < len(self.story) and self.story[self.at][0] <= ts_ms - START_MS:
            _, kind, *sides = self.story[self.at]
            if kind == "SNAPSHOT":
                self.book = ({}, {})
            if kind in ("SNAPSHOT", "DEPTH"):
                for side, rows in enumerate(sides):
                    for ticks, lots in rows:
                        self.book[side][ticks] = lots
                        if lots == 0:
                            del self.book[side][ticks]
            self.at += 1
        return self.book
