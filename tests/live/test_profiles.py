"""Testnets and demo modes by name: their addresses, what is said of them, and that no order goes there."""

from pathlib import Path

import pytest

from elegant_trading_system.cli_emulator import Scene
from elegant_trading_system.cli_place import place_of
from elegant_trading_system.config_sources import load
from elegant_trading_system.errors import ExitCode, UserError
from elegant_trading_system.shell.hosts import LINKS, is_loopback
from elegant_trading_system.shell.live import wall_ns
from elegant_trading_system.shell.profiles import PROFILES, venues_of

SCENE = Scene("", ["BTC", "ETH"], 1, 0.0, 0, [])
USABLE = [name for name, profile in PROFILES.items() if not profile.obstacle]


@pytest.mark.spec("X8", "X2")
@pytest.mark.parametrize("name", USABLE)
def test_a_profile_is_a_road_to_a_venue_s_data_and_never_one_for_orders(name: str) -> None:
    place = place_of("sim", Path(name), SCENE, None, load([], []), is_live=False)
    assert place.is_paper
    assert name in place.title
    assert PROFILES[name].note in place.title
    [(venue, where)] = venues_of(Path(name), SCENE.instruments).items()
    assert where["symbols"] == ["BTCUSDT", "ETHUSDT"]
    assert LINKS[venue](where, "", "", wall_ns).name == venue
    addresses = [address for address in where.values() if "://" in str(address)]
    assert len(addresses) == 3
    assert not any(is_loopback(address) for address in addresses)
    assert all(address.startswith(("https://", "wss://")) for address in addresses)
    with pytest.raises(UserError, match="orders go to this machine only") as refused:
        place_of("sim", Path(name), SCENE, None, load([], []), is_live=True)
    assert refused.value.exit_code is ExitCode.USAGE
    assert "without --live" in refused.value.hint


@pytest.mark.spec("X8")
def test_a_sandbox_that_only_gives_canned_answers_says_so() -> None:
    with pytest.raises(UserError, match=r"coinbase-sandbox: .*no market data") as refused:
        place_of("sim", Path("coinbase-sandbox"), SCENE, None, load([], []), is_live=False)
    assert "ets emulator" in refused.value.hint


def test_a_name_that_is_neither_a_file_nor_a_profile_names_the_profiles(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file") as refused:
        venues_of(tmp_path / "binance-testnt", ["BTC"])
    assert all(name in refused.value.hint for name in PROFILES)
