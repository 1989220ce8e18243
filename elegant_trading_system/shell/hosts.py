"""Where venues are and who we are there: from what `ets emulator` prints, keys from the environment otherwise."""

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from decimal import Decimal
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from filelock import FileLock, Timeout
from platformdirs import user_state_path

from ..config import Config
from ..errors import ExitCode, UserError
from .binance.futures_link import BinanceFuturesLink
from .binance.link import BinanceLink, Place
from .cboe.link import CboeLink, CboePlace
from .coinbase import link as coinbase_link
from .deribit.link import DeribitLink, DeribitPlace
from .link import Link
from .paper import PaperLink, PaperVenue

BINANCE_KEYS = ("BINANCE_API_KEY", "BINANCE_SECRET")
KEYS = {
    "binance": BINANCE_KEYS,
    "binanceusdm": BINANCE_KEYS,
    "coinbase": ("COINBASE_API_KEY", "COINBASE_SECRET"),
}


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


def public_hosts(names: list[str], bases: list[str]) -> dict[str, dict[str, Any]]:
    """Real venues' market data, for instruments by their base asset."""
    unknown = sorted(set(names) - PUBLIC.keys())
    if unknown:
        raise UserError(
            f"no road to {', '.join(unknown)}", f"there is one to {', '.join(PUBLIC)}; or sim", ExitCode.USAGE
        )
    return {
        name: {key: value for key, value in PUBLIC[name].items() if key != "symbol"}
        | {"symbols": list(dict.fromkeys(PUBLIC[name]["symbol"].format(base=base) for base in bases))}
        for name in names
    }


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


def paper_links(venues: dict[str, dict[str, Any]], config: Config, now_ns: Callable[[], int]) -> list[Link]:
    """Roads to the venues' market data alone, with no key; orders are simulated."""
    traded = len(venues.keys() & KEYS.keys())
    capital, shared = Decimal(str(config.account.capital)) / max(traded, 1), dict[str, PaperVenue]()
    links = {name: LINKS[name](where, "", "", now_ns) for name, where in venues.items()}
    return [PaperLink(link, config, capital, shared) if name in KEYS else link for name, link in links.items()]


def _binance(where: dict[str, Any], api_key: str, secret: str, now_ns: Callable[[], int]) -> Link:
    root = where["rest"].removesuffix(BinanceLink.prefix)
    return BinanceLink(Place(root, where["streams"], where["ws_api"], api_key, secret), where["symbols"], now_ns)


def _binance_futures(where: dict[str, Any], api_key: str, secret: str, now_ns: Callable[[], int]) -> Link:
    root = where["rest"].removesuffix(BinanceFuturesLink.prefix)
    place = Place(root, where["streams"], where["ws_api"], api_key, secret)
    return BinanceFuturesLink(place, where["symbols"], now_ns)


def _coinbase(where: dict[str, Any], api_key: str, secret: str, now_ns: Callable[[], int]) -> Link:
    place = coinbase_link.Place(where["rest"], where["streams"], where["user"], api_key, secret)
    return coinbase_link.CoinbaseLink(place, where["symbols"], now_ns)


def _deribit(where: dict[str, Any], _api_key: str, _secret: str, now_ns: Callable[[], int]) -> Link:
    bases = [name.partition("_")[0].upper() for name in where["symbols"]]
    return DeribitLink(DeribitPlace(where["rest"], where["ws"]), bases, now_ns)


def _cboe(where: dict[str, Any], _api_key: str, _secret: str, now_ns: Callable[[], int]) -> Link:
    return CboeLink(CboePlace(where["rest"]), now_ns)


PUBLIC = {  # market data that needs no key
    "binance": {
        "rest": "https://data-api.binance.vision/api/v3",
        "streams": "wss://data-stream.binance.vision",
        "ws_api": "wss://ws-api.binance.com/ws-api/v3",
        "symbol": "{base}USDT",
    },
    "binanceusdm": {
        "rest": "https://fapi.binance.com/fapi/v1",
        "streams": "wss://fstream.binance.com",
        "ws_api": "wss://ws-fapi.binance.com/ws-fapi/v1",
        "symbol": "{base}USDT",
    },
    "coinbase": {
        "rest": "https://api.coinbase.com/api/v3/brokerage",
        "streams": "wss://advanced-trade-ws.coinbase.com",
        "user": "wss://advanced-trade-ws-user.coinbase.com",
        "symbol": "{base}-USD",
    },
    "cboe": {**CboePlace()._asdict(), "symbol": "VIX"},
    "deribit": {**DeribitPlace()._asdict(), "symbol": "{base}_usd"},
}
LINKS: dict[str, Callable[[dict[str, Any], str, str, Callable[[], int]], Link]] = {
    "binance": _binance,
    "binanceusdm": _binance_futures,
    "coinbase": _coinbase,
    "cboe": _cboe,
    "deribit": _deribit,
}
