"""The past of a volatility index from the catalog, where its own source does not tell it."""

import contextlib
from pathlib import Path

import numpy as np

from ..core.kinds import Kind
from ..core.schema import NS_PER_S
from ..data.catalog import Catalog
from ..data.tape import ListingSpec
from ..errors import UserError
from .link import Bar

HISTORY_NS = 550 * 86_400 * NS_PER_S  # a year's quantile of business days, and some


def on_file(catalog: Path, spec: ListingSpec, listing_id: int, now_ns: int) -> list[Bar]:
    """The values that were known by now, as `ets fetch` or `ets import` has written them; none where there is no tape."""
    bars = list[Bar]()
    with contextlib.suppress(UserError):
        tapes = Catalog(catalog).tapes([spec.symbol], [spec.venue])
        for tape in tapes:
            known = tape.packets["ts_local_ns"]
            begin, end = np.searchsorted(known, [now_ns - HISTORY_NS, now_ns], side="right")
            for packet in tape.packets[begin:end]:
                row = int(packet["level_begin"])
                bars.append(
                    Bar(int(packet["ts_local_ns"]), listing_id, np.array(tape.levels[row : row + 1]), Kind.TRADE)
                )
    return bars
