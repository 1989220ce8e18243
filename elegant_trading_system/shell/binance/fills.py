"""An order as far as Binance has spoken of it, and its executions read whole before anything of them counts."""

from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple

from ...data.tape import ListingSpec
from ...data.universe import Universe
from .. import orders

DIGITS_MAX = 19
NUMBER_MAX = 2**62
COIN_DIGITS = 8
ZERO = Decimal(0)


@dataclass
class Sent(orders.Sent):
    trades: set[int] = field(default_factory=set)
    venue_id: int = -1  # the venue's own number for it


class Fill(NamedTuple):
    """One execution, read and found possible."""

    trade_id: int
    ticks: int
    lots: int
    atoms: int  # of the fee's asset; negative: we pay
    asset_id: int
    ts_ns: int
    coins: Decimal = Decimal(0)  # the fee, where it was paid with what nobody here keeps a ledger of
    coin: str = ""


def read_fills(sent: Sent, rows: list[Any], ts_ns: int, spec: ListingSpec, universe: Universe) -> list[Fill]:
    """Those not heard of yet; ValueError and its kin if one of them cannot be."""
    left = sent.lots - sent.filled_lots
    fills, heard = dict[int, Fill](), Counter(sent.heard)
    for number, price, quantity, fee, asset in rows:
        trade_id = int(number)
        if trade_id in sent.trades or trade_id in fills or sent.is_done:
            continue
        ticks = within(Decimal(price) / spec.tick_size, NUMBER_MAX)
        lots = within(Decimal(quantity) / spec.lot_size, sent.lots)
        within(ticks * lots - 1, NUMBER_MAX)  # nothing for nothing is no fill; more than that no book can hold
        is_foreign = asset not in universe.assets  # known by nothing that a price could change: no atoms at all
        asset_id = universe.assets.index(spec.settle if is_foreign else asset)
        cost = Decimal(0 if is_foreign else fee) * 10 ** universe.decimals[spec.settle if is_foreign else asset]
        coins = Decimal(within(Decimal(fee) * 10**COIN_DIGITS, NUMBER_MAX)).scaleb(-COIN_DIGITS) if is_foreign else ZERO
        atoms = within(abs(cost), NUMBER_MAX) * (-1 if cost > 0 else 1)
        is_heard = heard[ticks, lots, atoms, asset_id] > 0
        fills[trade_id] = Fill(trade_id, ticks, lots, atoms, asset_id, ts_ns, coins, str(asset) if is_foreign else "")
        heard[ticks, lots, atoms, asset_id] -= is_heard
        left = within(left - lots * (not is_heard), sent.lots)
    return list(fills.values())


def within(value: Any, limit: int) -> int:
    """A whole number from 0 to limit, as int() cuts it; ValueError for another."""
    if isinstance(value, Decimal) and value.adjusted() > DIGITS_MAX:  # before a million of them are made
        raise ValueError(value)
    number = int(value)
    if not 0 <= number <= limit:
        raise ValueError(value)
    return number


def executed_of(text: str) -> Decimal:
    """What the venue says was filled; ValueError where that is no amount."""
    amount = Decimal(text)
    if not amount.is_finite() or amount < 0:
        raise ValueError(text)
    return amount
