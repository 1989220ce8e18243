"""Which volatility a run sizes its positions by, in words: an index that prints, or the market's own as the fallback."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np

from ..config import Config
from ..core.schema import NS_PER_S
from ..data.importers.volatility import VIX_DELAY, vix_spec
from ..data.universe import Universe

Array = np.ndarray[Any, Any]


class VolatilityNames:
    """Says what each asset is sized by when a run begins, and again when it is another source."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._named: dict[str, str] = {}

    def look(self, universe: Universe, market: Array, config: Config, ts_ns: int) -> None:
        for base, words in volatility_sources(universe, market, config, ts_ns).items():
            source = words.partition(":")[0]
            if self._named.get(base) != source:
                self._named[base] = source
                self._say(f"volatility of {base}: {words}")


def volatility_sources(universe: Universe, market: Array, config: Config, ts_ns: int) -> dict[str, str]:
    """By base asset, as `core/volatility.py` would choose at ts_ns."""
    return {
        base: _words(universe, market[0], config, universe.record[0]["groups"][group_id], group_id, ts_ns)
        for group_id, base in enumerate(universe.groups)
        if universe.record[0]["groups"][group_id]["is_traded"]
    }


def _words(universe: Universe, market: Any, config: Config, group: Any, group_id: int, ts_ns: int) -> str:
    numbers, missing = config.volatility, "no volatility index"
    listing_id = int(group["volatility_id"])
    if listing_id >= 0:
        series, name = market["volatilities"][listing_id], universe.listing_name(listing_id)
        closes, value_ns = int(series["close_count"]), int(series["ts_value_ns"])
        stale_s = numbers.stale_h * 3600 * (3 if universe.listings[listing_id].asset_class == "equity" else 1)
        if closes >= numbers.days_min and 0 < ts_ns - value_ns <= stale_s * NS_PER_S:
            late = f", {VIX_DELAY}" if universe.listings[listing_id].name == vix_spec().name else ""
            return f"implied, {name}: {series['value']:.2f} % a year, {closes} daily closes{late}"
        missing = f"{name} has {closes} daily closes, the last value of {_day(value_ns)}"
    realised = int(market["groups"][group_id]["realised"]["close_count"])
    if realised >= numbers.days_min:
        return f"realised, its own over {realised} days, because {missing}"
    return f"none yet, positions times {numbers.warmup_size:g}: {missing}, {realised} days of its own"


def _day(ts_ns: int) -> str:
    return f"{datetime.fromtimestamp(ts_ns // NS_PER_S, UTC):%Y-%m-%d}" if ts_ns else "never"
