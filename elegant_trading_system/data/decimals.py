"""Exact decimals: venue price lists as JSON text to ticks and lots, without a float on the way."""

from decimal import Decimal
from enum import IntEnum
from typing import Any, NamedTuple, Self

import numpy as np

from ..core.jit import kernel, loader
from ..core.schema import LEVEL

Array = np.ndarray[Any, Any]

LIMIT = 2**62  # no price, size or their product on a tape reaches it: sums of two still fit int64
QUOTE, COMMA, MINUS, POINT, ZERO, NINE, OPEN, CLOSE = (ord(c) for c in '",-.09[]')


EXCERPT_BYTES = 60


class Fault(IntEnum):
    """Why a text is not a list of levels."""

    NONE = 0
    SYNTAX = 1
    NOT_A_DECIMAL = 2
    NEGATIVE = 3
    TOO_LARGE = 4
    OFF_GRID = 5
    ZERO_PRICE = 6


NONE, SYNTAX, NOT_A_DECIMAL, NEGATIVE, TOO_LARGE, OFF_GRID, ZERO_PRICE = (fault.value for fault in Fault)
FAULT_TEXT = {
    Fault.SYNTAX: 'not a list of ["price", "size"]',
    Fault.NOT_A_DECIMAL: "not a decimal number",
    Fault.NEGATIVE: "negative number",
    Fault.TOO_LARGE: "number too large: ticks, lots and their product must stay below 2^62",
    Fault.OFF_GRID: "price off its tick grid",
    Fault.ZERO_PRICE: "price is zero",
}


class Grid(NamedTuple):
    """The steps of a listing: one tick is price_units * 10**-price_digits, one lot likewise."""

    price_digits: int
    price_units: int
    lot_digits: int
    lot_units: int

    @classmethod
    def of(cls, tick_size: Decimal, lot_size: Decimal) -> Self:
        return cls(*_step(tick_size), *_step(lot_size))


def _step(size: Decimal) -> tuple[int, int]:
    exponent = size.normalize().as_tuple().exponent
    assert isinstance(exponent, int), size
    digits = max(0, -exponent)
    return digits, int(size.scaleb(digits))


class LevelError(ValueError):
    """A text that is not a list of levels: which one, why, and how it reads there."""

    def __init__(self, text_index: int, fault: Fault, excerpt: str) -> None:
        super().__init__(f"{FAULT_TEXT[fault]}: {excerpt}")
        self.text_index = text_index
        self.fault = fault


class Parsed(NamedTuple):
    rows: Array  # LEVEL
    counts: Array  # rows of each text
    rounded: int  # sizes cut to whole lots


def parse_levels(texts: list[bytes], grid: Grid) -> Parsed:
    """All rows of many JSON lists `[["price", "size"], ...]`.

    A size finer than a lot is cut to whole lots and counted: Binance books hold leftovers of orders older than the
    last change of the lot. Raises LevelError for the first text that is malformed, negative or out of range, or whose
    price is off its grid.
    """
    return parse_joined(b"".join(texts), len(texts), grid)


def parse_joined(joined: bytes, text_count: int, grid: Grid) -> Parsed:
    """As `parse_levels`, of texts that lie one behind the other already."""
    rows = np.zeros(joined.count(b'"') // 4, LEVEL)
    counts = np.zeros(text_count, np.int64)
    index, at, fault, rounded = _parse_texts(np.frombuffer(joined, np.uint8), grid, rows, counts)
    if fault != Fault.NONE:
        excerpt, _, _ = joined[at : at + EXCERPT_BYTES].partition(b"]")
        raise LevelError(int(index), Fault(fault), excerpt.decode(errors="replace") + "]")
    return Parsed(rows[: counts.sum()], counts, int(rounded))


@loader
def _parse_texts(text: Array, grid: Grid, rows: Array, counts: Array) -> tuple[int, int, int, int]:
    """Fill rows and counts; (text index, where in the joined text, fault, sizes cut)."""
    at, n, rounded, index = 0, 0, 0, 0
    while index < len(counts):
        begin = n
        at, n, fault, cut = _parse_list(text, at, grid, rows, n)
        if fault != NONE:
            return index, at, fault, 0
        counts[index] = n - begin
        rounded += cut
        index += 1
    return index - 1, at, (NONE if at == len(text) else SYNTAX), rounded


@kernel
def _parse_list(text: Array, at: int, grid: Grid, rows: Array, n: int) -> tuple[int, int, int, int]:
    """One `[row, ...]`: (index behind it, rows so far, fault, sizes cut)."""
    begin, rounded = at, 0
    at = _behind(text, at, OPEN)
    end = _behind(text, at, CLOSE)
    while at >= 0 and end < 0:
        row = at
        ticks, lots, at, fault = _parse_row(text, at, grid)
        if fault == OFF_GRID and ticks > 0:
            rounded += 1
        elif fault != NONE:
            return row, n, fault, 0
        rows[n].price_ticks = ticks
        rows[n].lots = lots
        n += 1
        end = _behind(text, at, CLOSE)
        if end < 0:
            at = _behind(text, at, COMMA)
    return (end, n, NONE, rounded) if end >= 0 else (begin, n, SYNTAX, 0)


@kernel
def _parse_row(text: Array, at: int, grid: Grid) -> tuple[int, int, int, int]:
    """One `["price", "size"]`: (ticks, lots, index behind it, fault). OFF_GRID with ticks: only the size was cut."""
    ticks, at, fault = _parse_quoted(text, _behind(text, at, OPEN), grid.price_digits, grid.price_units)
    if fault != NONE:
        return 0, 0, at, fault
    lots, at, fault = _parse_quoted(text, _behind(text, at, COMMA), grid.lot_digits, grid.lot_units)
    if fault != NONE and fault != OFF_GRID:
        return 0, 0, at, fault
    at = _behind(text, at, CLOSE)
    if at < 0:
        return 0, 0, at, SYNTAX
    if ticks == 0:
        return 0, 0, at, ZERO_PRICE
    if lots > (LIMIT - 1) // ticks:
        return 0, 0, at, TOO_LARGE
    return ticks, lots, at, fault


@kernel
def _parse_quoted(text: Array, at: int, digits: int, units: int) -> tuple[int, int, int]:
    """One `"decimal"`: (whole steps of units * 10**-digits, index behind it, fault). OFF_GRID: there was more."""
    at = _behind(text, at, QUOTE)
    if at < 0:
        return 0, at, SYNTAX
    if at < len(text) and int(text[at]) == MINUS:
        return 0, at, NEGATIVE
    value, at, fault = _parse_decimal(text, at, digits)
    if fault != NONE and fault != OFF_GRID:
        return 0, at, fault
    at = _behind(text, at, QUOTE)
    if at < 0:
        return 0, at, NOT_A_DECIMAL
    return value // units, at, (fault if value % units == 0 else OFF_GRID)


@kernel
def _parse_decimal(text: Array, at: int, digits: int) -> tuple[int, int, int]:
    """Digits with at most one point: (units of 10**-digits, index behind them, fault). OFF_GRID: there were more."""
    value, seen, places, finer = 0, 0, -1, NONE  # places: digits behind the point; -1 before it
    while at < len(text):
        c = int(text[at])
        if c == POINT and places < 0:
            places = 0
        elif c < ZERO or c > NINE:
            break
        elif places < digits:
            if value > (LIMIT - 1 - (c - ZERO)) // 10:
                return 0, at, TOO_LARGE
            value = value * 10 + (c - ZERO)
            seen += 1
            places += 1 if places >= 0 else 0
        elif c != ZERO:  # venues pad with zeros
            finer = OFF_GRID
        at += 1
    if seen == 0:
        return 0, at, NOT_A_DECIMAL
    for _ in range(digits - max(places, 0)):
        if value > (LIMIT - 1) // 10:
            return 0, at, TOO_LARGE
        value *= 10
    return value, at, finer


@kernel
def _behind(text: Array, at: int, token: int) -> int:
    """The index behind token, which blanks may precede; -1 if something else stands there."""
    if at < 0:
        return -1
    while at < len(text) and int(text[at]) == 32:
        at += 1
    return at + 1 if at < len(text) and int(text[at]) == token else -1
