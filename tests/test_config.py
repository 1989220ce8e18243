"""The configuration: one place for numbers, all problems at once, nothing silent."""

import json
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest

from elegant_trading_system import config_sources
from elegant_trading_system.config import Config
from elegant_trading_system.config_sections import VenueConfig
from elegant_trading_system.config_sources import FIELDS, RULES, allowed, flatten, known_keys, load
from elegant_trading_system.core.schema import MARKET_PARAMS, PARAMS, SIM_PARAMS
from elegant_trading_system.errors import ConfigError, ExitCode, Problem

# Wrong by type or range, and which of the bounds it meets.
WRONG_VALUES = {
    "account.capital": 0.0,
    "account.currency": "dollars",
    "volatility.index": "cboe",
    "market.pass_ms": 0.5,
    "market.pressure_halflife_s": 0.0,
    "market.pressure_band_bps": -1.0,
    "market.pressure_levels": 0,
    "market.pressure_ratio_max": 1.0,
    "market.pressure_price_weighted": 1,
    "market.decay_bps_min": 0.0,
    "market.decay_spreads": "two",
    "market.velocity_fast_s": 0,
    "market.velocity_slow_s": 100_000,
    "market.tightness_min": 2.0,
    "market.tightness_max": 0.5,
    "market.vwap_window_s": 0,
    "market.vwap_buckets": 257,
    "bars.lengths_s": [60, 0],
    "bars.atr_bars": 0,
    "market.venue_stale_s": 0.0,
    "market.listing_stale_s": -1.0,
    "signal.strength_min": 0.0,
    "signal.velocity_min": -0.1,
    "signal.imbalance_min": 0.9,
    "signal.vwap_gap_max": 1.5,
    "risk.base_risk": 0.25,
    "volatility.warmup_size": 2.0,
    "regimes.neutral.stop_atr": 0.0,
    "regimes.neutral.target_atr_min": -1.5,
    "regimes.neutral.target_atr_max": "3",
    "risk.target_strength_max": 0.0,
    "regimes.neutral.hold_bars": 0,
    "risk.positions_max": 1000,
    "risk.symbol_leverage_max": 100.0,
    "execution.primary_share": 60,
    "execution.secondary_share": -0.3,
    "execution.dark_share": "none",
    "execution.cap_atr": 0.0,
    "execution.cap_bps": 0.0,
    "execution.reroutes_max": -1,
    "execution.reroute_deadline_ms": 0.5,
    "execution.ack_timeout_ms": 0,
    "execution.query_interval_ms": 0,
    "log.sample_s": 0.0,
    "log.equity_s": 0.0,
    "simulation.seed": -1,
    "simulation.entry_latency_ms": -50.0,
    "simulation.response_latency_ms": "fast",
    "simulation.jitter_ms": -5.0,
    "simulation.dark_fill": 25,
    "simulation.lost_reply": 1.1,
    "simulation.reject": -0.1,
    "correlation.prior_other": -1.5,
}


def below_every_bound(value: object) -> object:
    """No yes-or-no and no choice is text like this, and no number of ours may be negative."""
    return "sideways" if isinstance(value, (bool, str)) else -1


def problems_of(*sets: str, **environ: str) -> list[Problem]:
    with pytest.raises(ConfigError) as caught:
        load(sets=sets, environ=environ)
    return caught.value.problems


def as_toml(value: object) -> str:
    return json.dumps(value)


def leaves(config: Config) -> dict[str, object]:
    return {key: value for key, value in flatten(config.values()) if not key.startswith("venues.")}


WRONG_VALUES = {key: below_every_bound(value) for key, value in leaves(load(environ={})).items()} | WRONG_VALUES


def default_text(root: Path) -> str:
    return (root / "config" / "default.toml").read_text()


# --- the numbers ------------------------------------------------------------------------------------------
@pytest.mark.spec("S6")
def test_default_toml_holds_every_key_and_no_other(root: Path) -> None:
    tables = tomllib.loads(default_text(root))
    written = {key for key, _ in flatten(tables) if not key.startswith("venues.")}
    assert written | {f"venues.default.{name}" for name in tables["venues"]["default"]} == set(known_keys(["default"]))


@pytest.mark.spec("S6")
def test_every_line_of_default_toml_says_its_unit_and_row(root: Path) -> None:
    lines = [line for line in default_text(root).splitlines() if "=" in line.partition("#")[0]]
    bare = [line for line in lines if not re.search(r"# .{2,}\[[A-Z]\d+(, [A-Z]\d+)*\]$", line)]
    assert not bare


def test_the_defaults_are_the_numbers_of_the_specification() -> None:
    config = load(environ={})
    assert config.signal.model_dump() == {
        "strength_min": 2.5,
        "velocity_min": 1.5,
        "imbalance_min": 1.25,
        "vwap_gap_max": 0.005,
        "vwap_one_sided": False,
    }
    assert (config.risk.base_risk, config.regimes.neutral.stop_atr) == (0.0025, 0.75)
    assert (
        config.regimes.neutral.target_atr_min,
        config.regimes.neutral.target_atr_max,
        config.risk.positions_max,
    ) == (1.5, 3.0, 10)
    assert (config.market.velocity_fast_s, config.market.velocity_slow_s) == (60, 1200)
    assert config.market.vwap_window_s == 240 * 60


@pytest.mark.parametrize("name", ["literal", "short-windows", "demo", "live-demo"])
def test_the_other_files_only_override(name: str, root: Path) -> None:
    path = root / "config" / f"{name}.toml"
    changed = {key for key, origin in load([path], environ={}).origins().items() if origin == str(path)}
    tables = tomllib.loads(path.read_text())
    assert changed == {key for key, _ in flatten(tables)}


def test_the_literal_reading_asks_for_no_imbalance() -> None:
    assert load([Path("literal")], environ={}).signal.imbalance_min == 1.0


# --- records ----------------------------------------------------------------------------------------------
@pytest.mark.uncompiled
def test_human_units_become_the_engine_s_units() -> None:
    config = load(environ={})
    market, params, sim = config.market_params()[0], config.params()[0], config.sim_params(lookahead_ns=7)[0]
    assert (market.pass_ns, market.venue_stale_ns, market.pressure_halflife_ns) == (100_000_000, 2_000_000_000, 2e9)
    assert (market.vwap_bucket_s, market.vwap_buckets) == (60, 240)
    assert (params.secondary_share_bps, params.dark_share_bps) == (3000, 1000)  # the primary takes what is left
    assert (params.ack_timeout_ns, params.waves_max, params.capital) == (1_000_000_000, 2, 100_000.0)
    assert (sim.entry_ns, sim.jitter_ns, sim.dark_fill_ppm, sim.lookahead_ns) == (50_000_000, 5_000_000, 250_000, 7)


def test_records_have_one_row_of_the_engine_s_types() -> None:
    config = load(environ={})
    for records, dtype in (
        (config.market_params(), MARKET_PARAMS),
        (config.params(), PARAMS),
        (config.sim_params(), SIM_PARAMS),
    ):
        assert records.shape == (1,)
        assert records.dtype == dtype


@pytest.mark.parametrize("key", sorted(leaves(load(environ={}))))
def test_every_key_reaches_the_engine(key: str) -> None:
    """A key that nothing reads would be a promise; currency only names the unit of the report, the index is a listing."""
    if key in ("account.currency", "volatility.index"):
        return
    base = load(environ={})
    other = load(sets=[f"{key}={as_toml(different(key, leaves(base)[key]))}", *COMPANIONS.get(key, ())], environ={})
    assert records_of(base) != records_of(other)


COMPANIONS = {
    "bars.cost_share_max": (),
    "execution.primary_share": ("execution.secondary_share=0.25",),
    "execution.secondary_share": ("execution.dark_share=0.05",),
    "execution.dark_share": ("execution.secondary_share=0.25",),
}
ODD = {
    "market.pass_ms": 200,
    "volatility.warmup_size": 0.25,
    "execution.primary_share": 0.65,
    "execution.secondary_share": 0.35,
    "bars.lengths_s": [300],
    "correlation.interval_s": 600,
    "execution.router": "cost_greedy",
    "gate.mode": "enforce",
    "market.pressure": "ofi",
    "risk.compounding": 0.5,
    "stress.leave": 27.0,
    "regimes.trend.target_atr_min": 2.5,
    "regimes.range.target_atr_min": 1.2,
    "regimes.volatile.leave": 1.5,
    "regimes.trend_axis.trend_leave": 22.0,
    "filters.persistence_min": 2,
}
ODD |= {
    "execution.dark_share": 0.15,
    "market.vwap_buckets": 120,
    "market.tightness_max": 6.0,
    "market.vwap_window_s": 7200,
}


def different(key: str, value: object) -> object:
    match value:
        case _ if key in ODD:
            return ODD[key]
        case bool():
            return not value
        case int():
            return value + 1
        case float():
            return value * 1.1 or 0.1
    raise AssertionError(key)


def records_of(config: Config) -> tuple[bytes, ...]:
    return config.market_params().tobytes(), config.params().tobytes(), config.sim_params().tobytes()


# --- layers -----------------------------------------------------------------------------------------------
def test_later_layers_win_and_say_where_they_are_from(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("[risk]\nbase_risk = 0.001\npositions_max = 5\n[regimes.neutral]\nstop_atr = 1.0\n")
    environ = {"ETS__RISK__BASE_RISK": "0.002", "ETS__REGIMES__NEUTRAL__STOP_ATR": "1.25", "HOME": "elsewhere"}
    config = load([file], ["risk.base_risk=0.003"], environ)
    assert (config.risk.base_risk, config.regimes.neutral.stop_atr, config.risk.positions_max) == (0.003, 1.25, 5)
    origins = config.origins()
    assert origins["risk.base_risk"] == "--set"
    assert origins["regimes.neutral.stop_atr"] == "ETS__REGIMES__NEUTRAL__STOP_ATR"
    assert origins["risk.positions_max"] == str(file)
    assert origins["regimes.neutral.target_atr_min"] == "default"


def test_every_resolved_key_has_an_origin() -> None:
    config = load(environ={})
    assert set(config.origins()) == set(known_keys(sorted(config.venues)))


def test_the_digest_names_the_values_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "same.toml"
    file.write_text("[regimes.neutral]\nstop_atr = 0.75\n[account]\ncapital = 100_000\n")
    assert load([file], environ={}).digest() == load(environ={}).digest()
    assert load(sets=["regimes.neutral.stop_atr=0.76"], environ={}).digest() != load(environ={}).digest()


def test_the_values_a_journal_keeps_give_the_same_configuration() -> None:
    config = load([Path("short-windows")], environ={})
    again = Config.model_validate(json.loads(json.dumps(config.values())))
    assert again.digest() == config.digest()


def test_nothing_can_be_changed_after_loading() -> None:
    config = load(environ={})
    with pytest.raises(ValueError, match="frozen"):
        config.risk.base_risk = 1.0  # type: ignore[misc]


# --- venues -----------------------------------------------------------------------------------------------
def test_a_venue_that_is_not_named_is_the_default_one() -> None:
    config = load(environ={})
    assert config.venue("nowhere") == config.venues["default"]


def test_a_named_venue_inherits_what_it_does_not_say() -> None:
    config = load(sets=["venues.kraken.spot_taker_bps=26.0", "venues.default.linear_taker_bps=4.0"], environ={})
    assert config.venue("kraken").taker_fee_ppm("spot") == 2600
    assert config.venue("kraken").taker_fee_ppm("linear") == 400


@pytest.mark.spec("P1")
def test_binance_takes_a_spot_buy_s_fee_from_the_coin() -> None:
    config = load(environ={})
    assert config.venue("binance").fee_in_base
    assert not config.venue("coinbase").fee_in_base


def test_a_venue_s_dash_is_an_underscore_in_the_environment() -> None:
    config = load(environ={"ETS__VENUES__SIM_A__SPOT_TAKER_BPS": "2.5"})
    assert config.venue("sim-a").taker_fee_ppm("spot") == 250


def test_a_bad_default_venue_is_told_once_and_not_once_per_heir() -> None:
    assert [problem.key for problem in problems_of("venues.default.dark_taker_bps=-1")] == [
        "venues.default.dark_taker_bps"
    ]


# --- problems ---------------------------------------------------------------------------------------------
def test_every_key_has_a_wrong_value_here() -> None:
    assert set(WRONG_VALUES) == set(leaves(load(environ={})))


@pytest.mark.parametrize("key", sorted(WRONG_VALUES))
def test_a_wrong_value_is_told_with_what_is_allowed(key: str) -> None:
    [problem] = problems_of(f"{key}={as_toml(WRONG_VALUES[key])}")
    assert problem == Problem("--set", key, WRONG_VALUES[key], f"must be {allowed(FIELDS[key])}")


def test_a_hundred_wrong_values_are_told_at_once(tmp_path: Path) -> None:
    tables: dict[str, list[str]] = {}
    for key, value in WRONG_VALUES.items():
        section, _, name = key.rpartition(".")
        tables.setdefault(section, []).append(f"{name} = {as_toml(value)}")
    for number in range(10):
        tables[f"venues.v{number}"] = ["spot_taker_bps = -1", 'fee_in_base = "yes"']
    file = tmp_path / "wrong.toml"
    file.write_text("\n".join(f"[{section}]\n" + "\n".join(lines) for section, lines in tables.items()))
    with pytest.raises(ConfigError) as caught:
        load([file], environ={})
    expected = set(WRONG_VALUES) | {
        f"venues.v{n}.{name}" for n in range(10) for name in ("spot_taker_bps", "fee_in_base")
    }
    assert len(expected) > 100
    assert {problem.key for problem in caught.value.problems} == expected
    assert {problem.origin for problem in caught.value.problems} == {str(file)}
    assert len(caught.value.problems) == len(expected)
    assert caught.value.exit_code == ExitCode.USAGE
    for key in expected:
        assert f"{file}: {key} = " in str(caught.value)


@pytest.mark.parametrize(
    "key, meant",
    [
        ("risk.base_rsk", "risk.base_risk"),
        ("rsik.base_risk", "risk.base_risk"),
        ("base_risk", "risk.base_risk"),
        ("signal.base_risk", "risk.base_risk"),
        ("venues.binance.spot_taker", "venues.binance.spot_taker_bps"),
    ],
)
def test_an_unknown_key_is_told_with_the_one_probably_meant(key: str, meant: str) -> None:
    [problem] = problems_of(f"{key}=1")
    assert problem.message == f"unknown key; did you mean {meant}?"


def test_an_unknown_environment_variable_is_told() -> None:
    [problem] = problems_of(ETS__RISK__BASE="1")
    assert (problem.origin, problem.key) == ("ETS__RISK__BASE", "risk.base")


def test_a_set_without_an_equals_sign_is_told() -> None:
    [problem] = problems_of("risk.base_risk")
    assert problem.message == "must read section.key=value"


def test_a_file_that_is_missing_or_broken_is_told(tmp_path: Path) -> None:
    broken = tmp_path / "broken.toml"
    broken.write_text("[risk\n")
    with pytest.raises(ConfigError) as caught:
        load([tmp_path / "none.toml", broken], ["regimes.neutral.stop_atr=0"], {})
    missing, unreadable, value = caught.value.problems
    assert missing.message.startswith("cannot be read")
    assert unreadable.message.startswith("is not TOML")
    assert value.key == "regimes.neutral.stop_atr"


@pytest.mark.parametrize("value", ["nan", "inf", "true", "'0.001'", "[0.001]"])
def test_only_numbers_are_numbers(value: str) -> None:
    assert [problem.key for problem in problems_of(f"risk.base_risk={value}")] == ["risk.base_risk"]


VOLATILE_TARGET = ("risk.target_strength_max", "regimes.volatile.strength_min")
BROKEN_RULES = {
    "market.pass_ms": ["market.pass_ms=300"],
    "market.velocity_slow_s": ["market.velocity_slow_s=1988"],
    "market.vwap_window_s": ["market.vwap_window_s=14401"],
    "market.listing_stale_s": ["market.listing_stale_s=1.0"],
    "signal.imbalance_min": ["signal.imbalance_min=10.0"],
    "regimes.neutral.target_atr_max": ["regimes.neutral.target_atr_max=1.4"],
    "regimes.trend.target_atr_max": ["regimes.trend.target_atr_max=2.9"],
    "regimes.range.target_atr_max": ["regimes.range.target_atr_max=1.4"],
    "bars.lengths_s": ["bars.lengths_s=[60,90]"],
    "regimes.trend_axis.trend_leave": ["regimes.trend_axis.trend_leave=26.0"],
    "regimes.trend_axis.range_leave": ["regimes.trend_axis.range_leave=19.0"],
    "regimes.volatile.leave": ["regimes.volatile.leave=2.1"],
    "stress.leave": ["stress.leave=31.0"],
    "filters.persistence_min": ["filters.persistence_min=6"],
    "breakers.drawdown_reduce": ["breakers.drawdown_reduce=0.09"],
    "sessions.flatten_before_min": ["sessions.flatten_before_min=31.0"],
    "correlation.interval_s": ["correlation.interval_s=301"],
    "risk.target_strength_max": ["risk.target_strength_max=2.5", "regimes.volatile.strength_min=2.0"],
    "execution.primary_share": ["execution.primary_share=0.5"],
}


def test_a_target_must_grow_from_the_threshold_of_a_volatile_market_too() -> None:
    [problem] = problems_of("risk.target_strength_max=2.9")
    assert problem.key == "risk.target_strength_max"


@pytest.mark.parametrize(
    "rule", [rule for rule in RULES if rule.keys != VOLATILE_TARGET], ids=lambda rule: rule.keys[0]
)
def test_values_that_do_not_fit_one_another_are_told(rule) -> None:  # type: ignore[no-untyped-def]
    [problem] = problems_of(*BROKEN_RULES[rule.keys[0]])
    assert (problem.key, problem.message) == (rule.keys[0], rule.message)


def test_a_rule_is_told_at_the_key_that_was_changed() -> None:
    assert [problem.key for problem in problems_of("market.vwap_buckets=7")] == ["market.vwap_buckets"]


def test_a_value_that_is_wrong_by_itself_breaks_no_rule_as_well() -> None:
    assert len(problems_of("execution.primary_share=7.0")) == 1


def test_the_velocity_windows_may_fill_the_ring_but_one_second() -> None:
    assert load(sets=["market.velocity_slow_s=1987"], environ={}).market_params()["slow_s"] == np.int64(1987)


def test_venue_keys_and_kinds_agree() -> None:
    fees = {name.removesuffix("_taker_bps") for name in VenueConfig.model_fields if name.endswith("_taker_bps")}
    assert fees == {"spot", "linear", "inverse", "dark"}


def test_a_default_toml_that_cannot_be_read_is_the_only_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "default.toml").write_text("[signal]\nstrength_min = 2,5\n")
    monkeypatch.setattr(config_sources, "config_folder", lambda: tmp_path)
    with pytest.raises(ConfigError, match="the configuration has 1 problem") as caught:
        config_sources.load(environ={})
    assert "is not TOML" in str(caught.value)


def test_a_configuration_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(ConfigError, match="config/ has default, demo, literal, live-demo, short-windows"):
        config_sources.load([Path("dem")], environ={})
