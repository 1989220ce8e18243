"""History tapes beside a recording: bars of its own listings, in its own ticks, from before it began."""

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import numpy as np

from .decimals import Array
from .tape import ListingSpec, Tape, TapeFacts


def is_history(tape: "Tape | Warmup") -> bool:
    """Bars and volatility indices: they warm a strategy up and are traded on by nobody."""
    return tape.facts.quality.bars > 0 or tape.facts.listing.kind == "volatility"


@dataclass(frozen=True)
class Warmup:
    """A stretch of bars as if it were a tape of the listing it warms up."""

    folder: Path
    facts: TapeFacts
    packets: Array
    levels: Array
    truth: None = None


def warmup_of(bars: Tape, listing: ListingSpec, until_ns: int) -> Warmup | None:
    """The bars known before `until_ns`, counted in the listing's ticks and lots; None if there is none.

    Prices of history are opinion, not money: where its grid is another, they are rounded to the nearest tick.
    """
    count = int(np.searchsorted(bars.packets["ts_local_ns"], until_ns))
    if count == 0:
        return None
    packets = bars.packets[:count]
    rows = int(packets["level_begin"][-1]) + int(packets["buy_count"][-1] + packets["sell_count"][-1])
    levels = np.array(bars.levels[:rows])
    levels["price_ticks"] = _rescaled(levels["price_ticks"], bars.facts.listing.tick_size, listing.tick_size)
    levels["lots"] = _rescaled(levels["lots"], bars.facts.listing.lot_size, listing.lot_size)
    facts = {"listing": listing, "packets": count, "ts_last_ns": int(packets["ts_local_ns"][-1])}
    return Warmup(bars.folder, bars.facts.model_copy(update=facts), packets, levels)


def _rescaled(values: Array, unit: Decimal, new_unit: Decimal) -> Array:
    """Halves go up. Exact: history has nothing near 2**62 / 10**9 units."""
    above, below = (unit / new_unit).as_integer_ratio()
    rescaled: Array = (2 * values * above + below) // (2 * below)
    return rescaled
