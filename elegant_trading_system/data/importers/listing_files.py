"""What a vendor file does not say about its listing: a file beside it does, or it is assumed, and said so.

Beside `NAME.npz`, `NAME.csv.gz`, ... may lie `NAME.listing.json`: a ListingSpec.
"""

import re
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from ...errors import UserError
from ..tape import ListingSpec

SUFFIXES = (".npz", ".csv", ".gz", ".zip", ".zst", ".dbn", ".log", ".xz")
PLACES_MAX = 12
ONE = Decimal(1)
REQUIRED = ", ".join(name for name, field in ListingSpec.model_fields.items() if field.is_required())
VENUE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
SYMBOL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/: -]*")


class Known(NamedTuple):
    """A listing as far as it is known before the rows are read."""

    spec: ListingSpec
    assumed: list[str]
    has_steps: bool  # else tick and lot are placeholders


def stem(path: Path) -> str:
    """The file's name without the suffixes of formats and packers."""
    name = path.name
    while (suffix := Path(name).suffix) in SUFFIXES:
        name = name.removesuffix(suffix)
    return name


def sidecar_path(path: Path) -> Path:
    return path.with_name(f"{stem(path)}.listing.json")


def read_sidecar(path: Path) -> Known | None:
    """The listing that a file beside says; None where there is none."""
    beside = sidecar_path(path)
    if not beside.exists():
        return None
    try:
        return Known(ListingSpec.model_validate_json(beside.read_text()), [], has_steps=True)
    except (ValidationError, UnicodeDecodeError) as error:
        first = error.errors()[0] if isinstance(error, ValidationError) else {"loc": (), "msg": str(error)}
        where = ".".join(str(part) for part in first["loc"])
        message = f"{beside}: not a listing: {where + ': ' if where else ''}{first['msg']}"
        raise UserError(message, f"it must say {REQUIRED}") from None


def known(venue: str, base: str, quote: str, settle: str, assumed: list[str], **more: Any) -> Known:
    """A listing by its names: spot without a settlement asset, inverse if it settles in the base, else linear."""
    kind = "spot" if not settle else "inverse" if settle == base else "linear"
    spec = ListingSpec(
        venue=venue,
        symbol=f"{base}/{quote}:{settle}" if settle else f"{base}/{quote}",
        kind=kind,
        base=base,
        quote=quote,
        settle=settle or quote,
        tick_size=more.pop("tick_size", ONE),
        lot_size=more.pop("lot_size", ONE),
        contract_quote=more.pop("contract_quote", ONE if kind == "inverse" else Decimal(0)),
        **more,
    )
    return Known(spec, assumed, has_steps=False)


def with_steps(found: Known, price_places: int, size_places: int) -> Known:
    """Tick and lot as the finest decimal steps that occur."""
    tick_size, lot_size = ONE.scaleb(-price_places), ONE.scaleb(-size_places)
    text = f"tick {tick_size} and lot {lot_size}: the finest decimal steps in the data"
    spec = found.spec.model_copy(update={"tick_size": tick_size, "lot_size": lot_size})
    return Known(spec, [*found.assumed, text], has_steps=True)


def unknown_listing(path: Path, reason: str) -> UserError:
    return UserError(f"{path}: {reason}", f"describe it in {sidecar_path(path).name} beside it: {REQUIRED}")


def check_names(path: Path, spec: ListingSpec) -> None:
    """Venue and symbol become folders: nothing that leads elsewhere."""
    for name, pattern in ((spec.venue, VENUE), (spec.symbol, SYMBOL)):
        if not pattern.fullmatch(name):
            raise unknown_listing(path, f"{name!r} is no name of a venue or symbol")
