"""Where venues are and who we are there: from what `ets emulator` prints, keys from the environment otherwise."""

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from filelock import FileLock, Timeout
from platformdirs import user_state_path

from ..errors import ExitCode, UserError
from .binance_link import BinanceLink, Place
from .deribit_link import DeribitLink, DeribitPlace
from .link import Link

KEYS = {"binance": ("BINANCE_API_KEY", "BINANCE_SECRET")}


def read_hosts(path: Path) -> dict[str, dict[str, Any]]:
    """Venue -> its addresses. Raises UserError when the file is none of `ets emulator`'s."""
    try:
        venues: dict[str, dict[str, Any]] = json.loads(path.read_text())["venues"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path}: no hosts: {error}", "`ets emulator > hosts.json` writes such a file", ExitCode.USAGE
        ) from None
    unknown = sorted(venues.keys() - LINKS.keys())
    if unknown:
        raise UserError(f"{path}: no road to {', '.join(unknown)}", f"there is one to {', '.join(LINKS)}")
    return venues


def check_loopback(venues: dict[str, dict[str, Any]]) -> None:
    """Orders go nowhere but to this machine. Raises UserError naming every other address."""
    addresses = [
        (venue, str(address)) for venue, where in venues.items() for address in where.values() if "://" in str(address)
    ]
    outside = [f"{venue} {address}" for venue, address in addresses if not is_loopback(address)]
    if outside:
        raise UserError(
            f"live orders go to this machine only: {'; '.join(outside)}",
            "real money stays locked until the software itself can say what the evidence is worth",
            ExitCode.USAGE,
        )


def is_loopback(address: str) -> bool:
    host = urlsplit(address).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def key_of(venue: str, where: dict[str, Any]) -> tuple[str, str]:
    """(key, secret): an emulated venue's own, else the environment's."""
    if "api_key" in where:
        return where["api_key"], where["api_secret"]
    if venue not in KEYS:
        return "", ""  # it asks for none
    names = KEYS[venue]
    missing = [name for name in names if not os.environ.get(name)]
    if missing:
        raise UserError(f"{venue}: {', '.join(missing)} not set", "put the key into the environment", ExitCode.USAGE)
    return os.environ[names[0]], os.environ[names[1]]


@contextlib.contextmanager
def only_one(venues: dict[str, dict[str, Any]]) -> Iterator[None]:
    """No other process trades with these keys as long as the block lasts; the system lets go of a killed one's."""
    folder = user_state_path("elegant-trading-system") / "keys"
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        for venue, where in venues.items():
            if venue not in KEYS:
                continue
            digest = hashlib.sha256(key_of(venue, where)[0].encode()).hexdigest()[:16]
            try:
                stack.enter_context(FileLock(folder / f"{venue}-{digest}.lock", timeout=0))
            except Timeout:
                raise UserError(f"{venue}: another run trades with this key", "stop it, or use another key") from None
        yield


def link_to(venue: str, where: dict[str, Any], now_ns: Callable[[], int]) -> Link:
    """The road to a venue and the instruments named there."""
    return LINKS[venue](where, *key_of(venue, where), now_ns)


def _binance(where: dict[str, Any], api_key: str, secret: str, now_ns: Callable[[], int]) -> Link:
    place = Place(where["rest"], where["streams"], where["ws_api"], api_key, secret)
    return BinanceLink(place, where["symbols"], now_ns)


def _deribit(where: dict[str, Any], _api_key: str, _secret: str, now_ns: Callable[[], int]) -> Link:
    bases = [name.partition("_")[0].upper() for name in where["symbols"]]
    return DeribitLink(DeribitPlace(where["rest"], where["ws"]), bases, now_ns)


LINKS: dict[str, Callable[[dict[str, Any], str, str, Callable[[], int]], Link]] = {
    "binance": _binance,
    "deribit": _deribit,
}
