"""Our streaming ATR and ADX against TA-Lib on real minute bars."""

import json
import lzma
from typing import Any

import numpy as np
import pytest

from elegant_trading_system.config_sources import load
from elegant_trading_system.core import bars as bar_ops
from elegant_trading_system.core.jit import entry
from elegant_trading_system.core.schema import BAR
from tests.shared_data import shared_data

SYMBOLS = ("BTC", "ETH", "ADA", "DOGE", "SOL")


@entry
def stream(bar, params, ticks, atr, adx):  # type: ignore[no-untyped-def]
    """Close one bar after the other; rows of `ticks` are high, low, close."""
    for k in range(len(ticks)):
        bar[0].open_ticks = ticks[k, 2]
        bar[0].high_ticks = ticks[k, 0]
        bar[0].low_ticks = ticks[k, 1]
        bar[0].close_ticks = ticks[k, 2]
        bar_ops.close_bar(bar[0], params[0], 0, (k + 1) * 60)
        atr[k] = bar[0].atr_ticks
        adx[k] = bar[0].adx


@pytest.mark.spec("M8")
@pytest.mark.parametrize("symbol", SYMBOLS)
def test_atr_and_adx_are_talibs_on_every_minute_of_six_weeks(symbol: str) -> None:
    talib: Any = pytest.importorskip("talib")
    rows = json.loads(lzma.decompress((shared_data("binance-spot-1m-2023") / f"{symbol}_USDT-1m.json.xz").read_bytes()))
    ticks = np.rint(np.array(rows, float)[:, 2:5] * 10**6).astype(np.int64)  # high, low, close in millionths
    assert len(ticks) >= 43_000
    atr, adx = np.zeros(len(ticks)), np.zeros(len(ticks))
    stream(np.zeros(1, BAR), load(environ={}).market_params(), ticks, atr, adx)
    columns = [np.ascontiguousarray(ticks[:, c], float) for c in range(3)]
    for ours, theirs in ((atr, talib.ATR(*columns, 14)), (adx, talib.ADX(*columns, 14))):
        known = ~np.isnan(theirs)
        assert known.sum() > 43_000 - 30
        np.testing.assert_allclose(ours[known], theirs[known], rtol=1e-9, atol=0)
        assert not ours[~known].any()
