"""Binance's frames in one pass over their bytes, rows straight to where they are kept.

Only the form the venue always sends is read: its keys in its order, plain numbers on the listing's grid, no blanks.
Whatever else comes, good or bad, is left to whoever reads JSON: what is taken here means there exactly the same.
Which message is the next one is decided in the same call: what only a frame in a thousand needs is left to `Arbiter`.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ...core.append import PACKETS, ROWS, put
from ...core.jit import brief, direct, kernel
from ...core.kinds import Kind
from ...core.schema import record
from ...data.decimals import Grid
from ...data.journal import Journal
from ..arbiter import MOVED, STREAM, WAITING, take_next

Array = np.ndarray[Any, Any]
Found = tuple[int, int, int, int, int, int, int]

FRAME_BYTES_MAX = 1 << 18
DIGITS_MAX = 18  # of a number: it fits an int64
STAMP_MS_MAX = 2**43  # in ns it still fits
NOTIONAL_MAX = 2.0**61  # ticks * lots, well inside decimals.LIMIT
NAME_BYTES_MAX = 31
SYMBOL = record(
    [
        ("listing_id", "i8"),
        ("name", "u1", (NAME_BYTES_MAX + 1,)),  # with the quote behind it
        ("name_bytes", "i8"),
        ("price_digits", "i8"),  # as in Grid
        ("price_units", "i8"),
        ("lot_digits", "i8"),
        ("lot_units", "i8"),
    ]
)
STREAMS = record([("is_stale", "i8"), ("depth", STREAM), ("trades", STREAM)])  # of a symbol
DEPTH, TRADE = Kind.DEPTH.value, Kind.TRADE.value
UNUSUAL = (0, 0, 0, 0, 0, 0, 0)
NS_PER_MS = 1_000_000


def _word(text: bytes) -> Array:
    return np.frombuffer(text, np.uint8)


ZERO, QUOTE, POINT, COMMA, CLOSE, BACKSLASH, TRUE, FALSE = (ord(c) for c in '0".,]\\tf')
OPENING, DATA = _word(b'{"stream":"'), _word(b',"data":{"e":"')
DEPTH_UPDATE, TRADED = _word(b'depthUpdate","E":'), _word(b'trade","E":')
KEY_T, KEY_FIRST, KEY_LAST, KEY_PU = (_word(b',"%b":' % key) for key in (b"T", b"U", b"u", b"pu"))
KEY_S, KEY_BIDS, KEY_ASKS = _word(b',"s":"'), _word(b',"b":['), _word(b',"a":[')
ROW, SIZE = _word(b'["'), _word(b',"')
KEY_ID, KEY_PRICE, KEY_QUANTITY = _word(b',"t":'), _word(b',"p":"'), _word(b',"q":"')
KEY_MAKER, KEY_MATCH, WORD_TRUE, WORD_FALSE = _word(b',"m":'), _word(b',"M":'), _word(b"true"), _word(b"false")
IN_MARKET, END = _word(b',"X":"MARKET"'), _word(b"}}")


class Scanner:
    """Reads the frames of some symbols; a symbol's number is its place in the list."""

    def __init__(self, symbols: list[tuple[int, str, Grid]], journal: Journal, *, is_chained: bool = False) -> None:
        """A symbol is (listing_id, name, grid)."""
        self.streams = np.zeros(len(symbols), STREAMS)
        self._tally = np.zeros(1, np.int64)
        self._journal = journal
        room = bytearray(FRAME_BYTES_MAX + 1)
        self._text, self._bytes = np.frombuffer(room, np.uint8), memoryview(room)
        bound = self._text, symbols_of(symbols), self.streams, self._tally, int(is_chained)
        entry_point = direct(read, *bound, journal.packets, journal.rows, journal.head, 0, 0)
        self._read: Callable[..., int] = partial(entry_point, *bound)

    @property
    def count(self) -> int:
        """Frames that were known or the next."""
        return int(self._tally[0])

    def read(self, connection: int, frame: str | bytes) -> int:
        """1: the very next message, laid at the journal's end. -1: one that was heard before.

        0: neither, or not the usual form, or no room; rows behind the journal's end may have been written.
        """
        data = frame.encode() if isinstance(frame, str) else frame
        length = len(data)
        if length > FRAME_BYTES_MAX:
            return 0
        self._bytes[:length] = data
        journal = self._journal
        return self._read(journal.packets, journal.rows, journal.head, length, connection)


def symbols_of(symbols: list[tuple[int, str, Grid]]) -> Array:
    """Names and grids as compiled code takes them."""
    found = np.zeros(len(symbols), SYMBOL)
    for symbol, (listing_id, name, grid) in zip(found, symbols, strict=True):
        quoted = f'{name}"'.encode()
        symbol["listing_id"] = listing_id
        symbol["name"][: len(quoted)] = np.frombuffer(quoted, np.uint8)
        symbol["name_bytes"] = len(quoted)
        symbol["price_digits"], symbol["price_units"], symbol["lot_digits"], symbol["lot_units"] = grid
    return found


@brief
def read(
    text: Array,
    symbols: Array,
    streams: Array,
    tally: Array,
    is_chained: int,
    packets: Array,
    rows: Array,
    head: Array,
    length: int,
    connection: int,
) -> int:
    """As Scanner.read, of the first `length` bytes of text."""
    if head[PACKETS] >= len(packets):
        return 0
    kind, number, first, last, buys, sells, ts_ms = scan(text, length, symbols, rows, head[ROWS], is_chained)
    listing = streams[number]
    if kind == 0 or listing.is_stale:
        return 0
    if kind == DEPTH:
        verdict = take_next(listing.depth, connection, first, last)
    else:
        verdict = take_next(listing.trades, connection, first, last)
    if verdict == WAITING:
        return 0
    tally[0] += 1
    if verdict != MOVED:
        return -1
    put(packets, head, ts_ms * NS_PER_MS, 0, 0, buys, sells, symbols[number].listing_id, kind, 0, 0)
    return 1


@brief
def scan(text: Array, length: int, symbols: Array, rows: Array, begin: int, is_chained: int) -> Found:
    """(kind, symbol, first id, last id, buys, sells, ts_ms), the rows in rows[begin:], buys first; kind 0: unusual.

    The first id is the one that has to follow the last one heard; chained, it is not U but what pu says. The byte behind
    the first `length` of text is overwritten.
    """
    text[length] = 0  # stands nowhere in a frame: nothing is read beyond it
    at = behind_string(text, behind(text, 0, OPENING))
    at = behind(text, at, DATA)
    if at < 0:
        return UNUSUAL
    if byte(text, at) == DEPTH_UPDATE[0]:
        return scan_depth(text, at, length, symbols, rows, begin, is_chained)
    return scan_trade(text, at, length, symbols, rows, begin)


@kernel
def scan_depth(text: Array, at: int, length: int, symbols: Array, rows: Array, begin: int, is_chained: int) -> Found:
    """`depthUpdate","E":1,"s":"X","U":1,"u":1,"b":[...],"a":[...]}}`; futures have a "T" and are chained by "pu"."""
    ts_ms, at = scan_stamp(text, behind(text, at, DEPTH_UPDATE))
    _, at = scan_optional_stamp(text, at)
    number, at = scan_symbol(text, behind(text, at, KEY_S), symbols)
    first, at = scan_int(text, behind(text, at, KEY_FIRST))
    last, at = scan_int(text, behind(text, at, KEY_LAST))
    previous = first - 1
    if is_chained:
        previous, at = scan_int(text, behind(text, at, KEY_PU))
    middle, at = scan_rows(text, behind(text, at, KEY_BIDS), symbols[number], rows, begin)
    end, at = scan_rows(text, behind(text, at, KEY_ASKS), symbols[number], rows, middle)
    if behind(text, at, END) != length or not previous < first <= last:
        return UNUSUAL
    return DEPTH, number, previous + 1, last, middle - begin, end - middle, ts_ms


@kernel
def scan_trade(text: Array, at: int, length: int, symbols: Array, rows: Array, begin: int) -> Found:
    """`trade","E":1,"s":"X","t":1,"p":"1","q":"1","T":1,"m":true,"M":true}}`; futures have "T" early and an "X"."""
    _, at = scan_stamp(text, behind(text, at, TRADED))
    early_ms, at = scan_optional_stamp(text, at)
    number, at = scan_symbol(text, behind(text, at, KEY_S), symbols)
    trade_id, at = scan_int(text, behind(text, at, KEY_ID))
    at = scan_row(text, behind(text, at, KEY_PRICE), KEY_QUANTITY, symbols[number], rows, begin)
    at = behind_optional(text, at, IN_MARKET)
    late_ms, at = scan_optional_stamp(text, at)
    is_maker, at = scan_bool(text, behind(text, at, KEY_MAKER))
    at = behind_optional_bool(text, at, KEY_MATCH)
    if behind(text, at, END) != length or (early_ms < 0) == (late_ms < 0):  # T once
        return UNUSUAL
    return TRADE, number, trade_id, trade_id, 1 - is_maker, is_maker, max(early_ms, late_ms)


# --- rows ---------------------------------------------------------------------------------------------------
@kernel
def scan_rows(text: Array, at: int, symbol: Any, rows: Array, n: int) -> tuple[int, int]:
    """What follows the `[` of a list of `["price","size"]`: (rows so far, index behind it)."""
    if at >= 0 and byte(text, at) == CLOSE:
        return n, at + 1
    c = COMMA
    while c == COMMA:
        at = scan_row(text, behind(text, at, ROW), SIZE, symbol, rows, n)
        if at < 0 or byte(text, at) != CLOSE:
            return n, -1
        n += 1
        c = byte(text, at + 1)
        at += 2
    return n, (at if c == CLOSE else -1)


@kernel
def scan_row(text: Array, at: int, between: Array, symbol: Any, rows: Array, n: int) -> int:
    """`price"`, what is between and `size"` into rows[n]: the index behind."""
    ticks, at = scan_decimal(text, at, symbol.price_digits, symbol.price_units)
    lots, at = scan_decimal(text, behind(text, at, between), symbol.lot_digits, symbol.lot_units)
    if at < 0 or n >= len(rows) or ticks == 0 or float(ticks) * float(lots) >= NOTIONAL_MAX:
        return -1
    row = rows[np.uint64(n)]
    row.price_ticks = ticks
    row.lots = lots
    return at


@kernel
def scan_decimal(text: Array, at: int, digits: int, units: int) -> tuple[int, int]:
    """`1.50"` on a grid of units * 10**-digits: (steps, index behind the quote)."""
    if at < 0:
        return 0, -1
    value, behind_whole = scan_digits(text, at, DIGITS_MAX)
    if behind_whole == at or behind_whole - at + digits > DIGITS_MAX:
        return 0, -1
    at, places = behind_whole, 0
    if byte(text, at) == POINT:
        fraction, behind_fraction = scan_digits(text, at + 1, digits)
        places = behind_fraction - at - 1
        for _ in range(places):
            value *= 10
        value += fraction
        at = behind_fraction
        while byte(text, at) == ZERO:  # venues pad with zeros
            at += 1
    for _ in range(digits - places):
        value *= 10
    if byte(text, at) != QUOTE:
        return 0, -1
    if units > 1:
        if value % units != 0:
            return 0, -1
        value //= units
    return value, at + 1


@kernel
def scan_digits(text: Array, at: int, count: int) -> tuple[int, int]:
    """At most so many digits: (value, index behind them)."""
    value, end = 0, at + count
    while at < end:
        digit = byte(text, at) - ZERO
        if digit < 0 or digit > 9:
            break
        value = value * 10 + digit
        at += 1
    return value, at


# --- everything else ------------------------------------------------------------------------------------------
@kernel
def byte(text: Array, at: int) -> int:
    return int(text[np.uint64(at)])


@kernel
def behind(text: Array, at: int, word: Array) -> int:
    """The index behind word; -1 if something else stands there."""
    if at < 0:
        return -1
    for k in range(len(word)):
        if text[np.uint64(at + k)] != word[k]:
            return -1
    return at + len(word)


@kernel
def behind_string(text: Array, at: int) -> int:
    """The index behind plain characters and a quote."""
    if at < 0:
        return -1
    c = byte(text, at)
    while 32 <= c < 127 and c != QUOTE and c != BACKSLASH:
        at += 1
        c = byte(text, at)
    return at + 1 if c == QUOTE else -1


@kernel
def scan_int(text: Array, at: int) -> tuple[int, int]:
    """As JSON has them: no zero in front."""
    if at < 0:
        return 0, -1
    value, end = scan_digits(text, at, DIGITS_MAX)
    is_good = end > at and (end == at + 1 or byte(text, at) != ZERO)
    return value, (end if is_good else -1)


@kernel
def scan_stamp(text: Array, at: int) -> tuple[int, int]:
    ts_ms, end = scan_int(text, at)
    return ts_ms, (end if ts_ms < STAMP_MS_MAX else -1)


@kernel
def scan_optional_stamp(text: Array, at: int) -> tuple[int, int]:
    """The venue's T; -1 where it is not."""
    found = behind(text, at, KEY_T)
    if found < 0:
        return -1, at
    return scan_stamp(text, found)


@kernel
def scan_bool(text: Array, at: int) -> tuple[int, int]:
    if behind(text, at, WORD_TRUE) >= 0:
        return 1, at + len(WORD_TRUE)
    return 0, behind(text, at, WORD_FALSE)


@kernel
def behind_optional_bool(text: Array, at: int, key: Array) -> int:
    found = behind(text, at, key)
    if found < 0:
        return at
    _, end = scan_bool(text, found)
    return end


@kernel
def behind_optional(text: Array, at: int, word: Array) -> int:
    found = behind(text, at, word)
    return at if found < 0 else found


@kernel
def scan_symbol(text: Array, at: int, symbols: Array) -> tuple[int, int]:
    """(its number, index behind the quote)."""
    if at >= 0:
        for number in range(len(symbols)):
            symbol = symbols[number]
            k = 0
            while k < symbol.name_bytes and text[np.uint64(at + k)] == symbol.name[k]:
                k += 1
            if k == symbol.name_bytes:
                return number, at + k
    return 0, -1
