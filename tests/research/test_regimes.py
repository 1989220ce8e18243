"""`ets regimes`: the shares and flips it prints, against a regime read after every single bar."""

import json
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from elegant_trading_system import cli
from elegant_trading_system.config_sources import load
from elegant_trading_system.core.kinds import Regime
from elegant_trading_system.data.catalog import Catalog, merge
from elegant_trading_system.data.importers import import_paths
from elegant_trading_system.data.universe import build
from elegant_trading_system.research.regimes import regimes_of
from elegant_trading_system.sim.session import Session

START_S = 1_696_118_400  # a midnight, UTC
DAYS = 9


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine days of minute bars of a random walk whose hours trend and idle in turn, in dollars and in coins."""
    folder = tmp_path_factory.mktemp("regimes")
    random = np.random.default_rng(3)
    for name, first in (("BTC_USDT", 25_000.0), ("ADA_BTC", 0.00002)):
        price = first
        lines = ["timestamp,open,high,low,close,volume"]
        for minute in range(DAYS * 1440):
            drift = 2e-4 * math.sin(minute / 97) if minute // 360 % 2 else 0.0
            close = price * math.exp(drift + 4e-4 * float(random.normal()))
            high, low = max(price, close) * 1.0002, min(price, close) * 0.9998
            lines.append(f"{START_S + 60 * minute},{price:.8f},{high:.8f},{low:.8f},{close:.8f},{10 + minute % 7}")
            price = close
        (folder / f"binance_{name}-1m.csv").write_text("\n".join(lines) + "\n")
    import_paths("bars", sorted(folder.glob("*.csv")), folder / "catalog", lambda _what, _share: None)
    return folder / "catalog"


@pytest.mark.spec("R3", "P3")
def test_shares_and_flips_are_those_of_the_regime_read_after_every_bar(catalog: Path) -> None:
    config = load(sets=["bars.lengths_s=[60, 300]", "regimes.volatile.days_min=1"], environ={})
    name = "binance BTC/USDT"
    found = regimes_of(catalog, config, ["BTC/USDT"], None, lambda _what, _share: None)[name][1]
    merged = merge(Catalog(catalog).tapes(["BTC/USDT"]))
    session = Session(build(merged.listings, config), [config])
    seen: Counter[int] = Counter()
    flips, volatile, ranges = 0, [], []
    before = int(Regime.NEUTRAL)
    for end in range(5, len(merged.packets) + 1, 5):
        session.run(merged.packets, merged.levels, end, is_last=False)
        bar = session.market[0]["groups"][0]["bars"][1]
        if bar["adx"] >= 0.0 and bar["count"] >= 28:
            seen[int(bar["regime"])] += 1
            ranges.append(float(bar["atr_ticks"] / bar["previous_close_ticks"]) * 1e4)
            flips += int(bar["regime"]) != before
            before = int(bar["regime"])
        if bar["day_count"] >= 1:
            volatile.append(int(bar["is_volatile"]))
    total = sum(seen.values())
    assert found["bars"] == total > 2000
    for regime in Regime:
        assert found[regime.name.lower()] == seen[regime] / total > 0
    assert found["flips_a_day"] == pytest.approx(flips / (total * 300 / 86_400), rel=1e-12)
    assert found["volatile"] == pytest.approx(np.mean(volatile), abs=1e-12)
    assert found["atr_bps"] == pytest.approx(np.mean(ranges), rel=1e-9)
    assert found["cost_share"] == pytest.approx(2 * config.venues["binance"].spot_taker_bps / found["atr_bps"])


@pytest.mark.spec("R3")
def test_a_pair_without_a_rate_has_no_cost_and_says_so(catalog: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main(["regimes", "--catalog", str(catalog), "--json"])
    assert left.value.code == 0
    listings = json.loads(capsys.readouterr().out)["listings"]
    assert [row["bar_s"] for row in listings["binance BTC/USDT"]] == load(environ={}).bars.lengths_s
    assert all(row["cost_share"] is None for row in listings["binance ADA/BTC"])
    with pytest.raises(SystemExit):
        cli.main(["regimes", "--catalog", str(catalog), "--instruments", "ADA"])
    assert "not known" in capsys.readouterr().out
