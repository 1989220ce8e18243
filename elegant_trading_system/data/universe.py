"""From listings and configuration to the UNIVERSE record: what every integer of a run means.

Building it is also the start-up proof: a listing whose money could overflow int64 is refused by name.
"""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import numpy as np

from ..config import Config
from ..config_sections import PPM_PER_BPS
from ..core.kinds import AssetClass, ListingKind
from ..core.schema import ASSETS, GROUP_LISTINGS, GROUPS, LISTINGS, UNIVERSE, VENUES
from ..errors import ExitCode, UserError
from .tape import ListingSpec

KINDS = {kind.name.lower(): kind for kind in ListingKind}
REFERENCE_ORDER = ("spot", "linear", "inverse", "index", "volatility", "dark")
DOLLARS = frozenset({"USD", "USDT", "USDC", "FDUSD", "TUSD", "DAI", "BUSD"})
ATOM_DECIMALS = 8  # what venues settle in, where the listing allows
NOTIONAL_MAX = 10**9  # reporting currency: no balance or order of ours gets near it
PROVABLE = 2**62


@dataclass
class Universe:
    """The record and the names behind its ids."""

    record: np.ndarray[Any, Any]  # UNIVERSE[1]
    listings: list[ListingSpec]
    venues: list[str] = field(default_factory=list)
    assets: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    decimals: dict[str, int] = field(default_factory=dict)

    def listing_name(self, listing_id: int) -> str:
        return self.listings[listing_id].name


def build(listings: list[ListingSpec], config: Config) -> Universe:
    """Number everything, in order of appearance; problems with any listing are reported by its name."""
    universe = Universe(np.zeros(1, UNIVERSE), listings)
    for spec in listings:
        _number(universe.venues, spec.venue)
        for asset in (spec.base, spec.quote, spec.settle):
            _number(universe.assets, asset)
        _number(universe.groups, spec.base)
    _check_capacity(universe)
    universe.decimals = {asset: _decimals(asset, listings) for asset in universe.assets}
    record = universe.record[0]
    record["listing_count"] = len(listings)
    record["group_count"] = len(universe.groups)
    record["venue_count"] = len(universe.venues)
    record["asset_count"] = len(universe.assets)
    for asset_id, asset in enumerate(universe.assets):
        record["assets"][asset_id]["atom"] = 10.0 ** -universe.decimals[asset]
        record["assets"][asset_id]["rate"] = 1.0 if asset in DOLLARS else 0.0
    classes: list[tuple[str, ...]] = []
    for listing_id, spec in enumerate(listings):
        _fill_listing(universe, record["listings"][listing_id], listing_id, spec, config, classes)
    for group_id in range(len(universe.groups)):
        _fill_group(universe, record["groups"][group_id], group_id, is_by_vix=config.volatility.index == "vix")
    return universe


def _number(names: list[str], name: str) -> int:
    if name not in names:
        names.append(name)
    return names.index(name)


def _check_capacity(universe: Universe) -> None:
    for what, count, most in (
        ("listings", len(universe.listings), LISTINGS),
        ("base assets", len(universe.groups), GROUPS),
        ("venues", len(universe.venues), VENUES),
        ("assets", len(universe.assets), ASSETS),
    ):
        if count > most:
            raise UserError(
                f"{count} {what} selected, one run holds {most}",
                "narrow it with --instruments or --venues",
                ExitCode.USAGE,
            )


def _places(value: Decimal) -> int:
    exponent = value.normalize().as_tuple().exponent
    assert isinstance(exponent, int)
    return max(0, -exponent)


def _decimals(asset: str, listings: list[ListingSpec]) -> int:
    """Decimal places of the asset's atom: fine enough for every lot and tick, coarse enough for int64."""
    needed, lot_places = 0, [ATOM_DECIMALS]
    for spec in listings:
        if spec.kind in ("inverse", "index", "volatility"):
            continue
        if spec.base == asset:
            needed = max(needed, _places(spec.lot_size))
            lot_places.append(_places(spec.lot_size) + 4)
        if asset in (spec.quote, spec.settle):
            needed = max(needed, _places(spec.tick_size * spec.lot_size))
            if NOTIONAL_MAX * 10**needed >= PROVABLE:
                raise UserError(
                    f"{spec.name}: tick {spec.tick_size} times lot {spec.lot_size} needs {needed} decimals of {asset}; "
                    f"{NOTIONAL_MAX:,} {asset} would overflow 64 bits",
                    "leave the listing out, or trade it in larger lots",
                )
    return max(needed, min(lot_places))


def _fill_listing(
    universe: Universe, row: Any, listing_id: int, spec: ListingSpec, config: Config, classes: list[tuple[str, ...]]
) -> None:
    venue = config.venue(spec.venue)
    is_tradable = spec.kind in ("spot", "linear", "dark")
    base_scale, quote_scale = (10 ** universe.decimals[asset] for asset in (spec.base, spec.quote))
    reference_id = _reference(universe, listing_id, spec)
    reference = universe.listings[reference_id]
    class_key = (reference.base, reference.kind, reference.quote)
    row["group_id"] = universe.groups.index(spec.base)
    row["venue_id"] = universe.venues.index(spec.venue)
    row["kind"] = KINDS[spec.kind]
    row["base_id"] = universe.assets.index(spec.base)
    row["quote_id"] = universe.assets.index(spec.quote)
    row["settle_id"] = universe.assets.index(spec.settle)
    row["class_id"] = classes.index(class_key) if class_key in classes else len(classes)
    if class_key not in classes:
        classes.append(class_key)
    row["reference_id"] = reference_id
    row["base_atoms_per_lot"] = int(spec.lot_size * base_scale) if is_tradable else 1
    row["quote_atoms_per_tick_lot"] = int(spec.tick_size * spec.lot_size * quote_scale) if is_tradable else 1
    row["lots_min"] = spec.lots_min
    row["notional_min_atoms"] = int(spec.notional_min * quote_scale)
    row["taker_fee_ppm"] = _taker_fee_ppm(spec, config)
    row["is_fee_in_base"] = venue.fee_in_base and spec.kind in ("spot", "dark")
    row["can_short"] = spec.kind == "linear"  # borrowing coins to sell them is not modelled
    row["can_trade"] = is_tradable and spec.quote in DOLLARS
    row["is_anchored"] = spec.asset_class == "equity"
    row["tick_price"] = float(spec.tick_size)
    row["lot_base"] = float(spec.lot_size) if spec.kind != "inverse" else 0.0
    row["lot_quote"] = float(spec.lot_size * spec.contract_quote)
    row["quote_rate"] = 1.0 if spec.quote in DOLLARS else 0.0


def _taker_fee_ppm(spec: ListingSpec, config: Config) -> int:
    """What the configuration says of the venue by name; else what the venue says; else the usual."""
    if spec.kind in ("index", "volatility"):
        return 0
    if spec.taker_fee_bps is not None and spec.venue not in config.venues:
        return round(spec.taker_fee_bps * PPM_PER_BPS)
    return config.venue(spec.venue).taker_fee_ppm(spec.kind)


def _reference(universe: Universe, listing_id: int, spec: ListingSpec) -> int:
    if spec.kind != "dark":
        return listing_id
    names = [other.name for other in universe.listings]
    if spec.reference not in names:
        raise UserError(
            f"{spec.name}: trades at the midpoint of {spec.reference!r}, which is not among the selected listings",
            "select both, or leave the dark venue out with --venues",
            ExitCode.USAGE,
        )
    return names.index(spec.reference)


def _fill_group(universe: Universe, row: Any, group_id: int, *, is_by_vix: bool) -> None:
    base = universe.groups[group_id]
    ids = [i for i, spec in enumerate(universe.listings) if spec.base == base]
    if len(ids) > GROUP_LISTINGS:
        raise UserError(
            f"{base}: {len(ids)} listings, one base asset holds {GROUP_LISTINGS}",
            "narrow it with --venues",
            ExitCode.USAGE,
        )
    row["listing_count"] = len(ids)
    row["listing_ids"][: len(ids)] = ids
    row["reference_id"] = min(ids, key=lambda i: REFERENCE_ORDER.index(universe.listings[i].kind))
    row["base_id"] = universe.assets.index(base)
    reference = universe.listings[row["reference_id"]]
    row["asset_class"] = AssetClass[reference.asset_class.upper()]
    row["is_traded"] = any(universe.listings[i].kind not in ("index", "volatility") for i in ids)
    row["volatility_id"] = _volatility(universe, base, reference, is_by_vix=is_by_vix)


def _volatility(universe: Universe, base: str, reference: ListingSpec, *, is_by_vix: bool) -> int:
    """The volatility index of a group: its own (DVOL-ETH for ETH), else the first of its asset class, -1 if none; or
    the VIX, where the configuration says so.
    """
    found = [(i, spec) for i, spec in enumerate(universe.listings) if spec.kind == "volatility"]
    if is_by_vix:
        vix = [i for i, spec in found if spec.base == "VIX"]
        if not vix:
            raise UserError(
                'volatility.index is "vix", which is not among the selected listings',
                "add cboe to --venues, or a tape of it (ets fetch vix)",
                ExitCode.USAGE,
            )
        return vix[0]
    own = [i for i, spec in found if spec.base.endswith(f"-{base}")]
    of_class = [i for i, spec in found if spec.asset_class == reference.asset_class]
    return (own + of_class + [-1])[0]
