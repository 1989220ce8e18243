"""Where venues are and who we are there: from what `ets emulator` prints, keys from the environment otherwise."""

import contextlib
import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from functools import partial
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
from .ccxt.client import BY_CCXT, credentials, exchange_of, variable
from .ccxt.link import CcxtLink
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
    return venues


def hosts_of(found: dict[str, dict[str, Any]], names: list[str]) -> dict[str, dict[str, Any]]:
    """Those that are wanted; `ccxt:NAME` is a venue of the file by ccxt's road. Raises UserError for one that is not there."""
    missing = [name for name in names if exchange_name(name) not in found and name not in found]
    if missing:
        raise UserError(
            f"the hosts file has no {', '.join(missing)}", f"it has {', '.join(found)}; --venues", ExitCode.USAGE
        )
    return {name: found.get(name) or found[exchange_name(name)] for name in names}


def check_roads(names: Iterable[str]) -> None:
    """Is there a road to each of them, and one alone? Raises UserError, with what was perhaps meant."""
    twice = [name for name, count in Counter(map(exchange_name, names)).items() if count > 1]
    if twice:
        raise UserError(f"{', '.join(twice)}: named twice", "one road to a venue in a run", ExitCode.USAGE)
    for name in names:
        if is_by_ccxt(name):
            exchange_of(name, roads=LINKS)


def is_by_ccxt(venue: str) -> bool:
    """Every venue without a road of our own, and any whose name says so."""
    return venue not in LINKS


def exchange_name(venue: str) -> str:
    return venue.removeprefix(BY_CCXT)


def is_traded(venue: str) -> bool:
    """Is it an exchange, or does it only print an index?"""
    return venue in KEYS or is_by_ccxt(venue)


def public_hosts(names: list[str], instruments: list[str]) -> dict[str, dict[str, Any]]:
    """Real venues' market data, for instruments by their base asset; by ccxt also by the symbols it writes."""
    if not names:
        raise UserError("no venues", f"--venues sim, or {','.join(PUBLIC)}, or any that ccxt knows", ExitCode.USAGE)
    check_roads(names)
    wishes = [name.upper() for name in instruments]
    return {name: {"symbols": wishes} if is_by_ccxt(name) else _public(name, wishes) for name in names}


def _public(venue: str, wishes: list[str]) -> dict[str, Any]:
    symbols = list(dict.fromkeys(PUBLIC[venue]["symbol"].format(base=wish.partition("/")[0]) for wish in wishes))
    return {key: value for key, value in PUBLIC[venue].items() if key != "symbol"} | {"symbols": symbols}


def check_loopback(venues: dict[str, dict[str, Any]]) -> None:
    """Orders go nowhere but to this machine. Raises UserError naming every other address."""
    outside = [
        f"{venue} {address}"
        for venue, where in venues.items()
        for address in addresses_of(venue, where)
        if not is_loopback(address)
    ]
    if outside:
        raise UserError(
            f"live orders go to this machine only: {'; '.join(outside)}",
            "real money stays locked until the software itself can say what the evidence is worth",
            ExitCode.USAGE,
        )


def addresses_of(venue: str, where: dict[str, Any]) -> list[str]:
    """Everything that is asked there; by ccxt that is the venue itself where nothing stands for it."""
    if is_by_ccxt(venue):
        return list(where.get("stands_for", {}).values()) or ["itself, for which no address stands"]
    return [address for address in where.values() if isinstance(address, str) and "://" in address]


def is_loopback(address: str) -> bool:
    host = urlsplit(address).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def key_names(venue: str) -> tuple[str, str]:
    name = exchange_name(venue)
    return KEYS.get(name, (f"{name.upper()}_API_KEY", f"{name.upper()}_SECRET"))


def key_of(venue: str, where: dict[str, Any]) -> tuple[str, str]:
    """(key, secret): an emulated venue's own, else the environment's."""
    if "api_key" in where:
        return where["api_key"], where["api_secret"]
    if not is_traded(venue):
        return "", ""  # it asks for none
    names = key_names(venue)
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
            if not is_traded(venue):
                continue
            digest = hashlib.sha256(key_of(venue, where)[0].encode()).hexdigest()[:16]
            try:
                stack.enter_context(FileLock(folder / f"{exchange_name(venue)}-{digest}.lock", timeout=0))
            except Timeout:
                raise UserError(f"{venue}: another run trades with this key", "stop it, or use another key") from None
        yield


def link_to(venue: str, where: dict[str, Any], now_ns: Callable[[], int]) -> Link:
    """The road to a venue and the instruments named there."""
    return _road(venue)(where, *key_of(venue, where), now_ns)


def market_link(venue: str, where: dict[str, Any], now_ns: Callable[[], int]) -> Link:
    """The road to its market data alone, with no key."""
    return _road(venue)(where, "", "", now_ns)


def _road(venue: str) -> "Road":
    return partial(ccxt_link, venue) if is_by_ccxt(venue) else LINKS[venue]


def paper_links(venues: dict[str, dict[str, Any]], config: Config, now_ns: Callable[[], int]) -> list[Link]:
    """Roads to the venues' market data alone, with no key; orders are simulated."""
    traded = sum(map(is_traded, venues))
    capital, shared = Decimal(str(config.account.capital)) / max(traded, 1), dict[str, PaperVenue]()
    links = {name: market_link(name, where, now_ns) for name, where in venues.items()}
    return [PaperLink(link, config, capital, shared) if is_traded(name) else link for name, link in links.items()]


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


def ccxt_link(venue: str, where: dict[str, Any], api_key: str, secret: str, now_ns: Callable[[], int]) -> CcxtLink:
    """What else the venue wants of a customer comes from the same places as the key."""
    exchange = exchange_of(venue, api_key, secret, LINKS)
    for name in credentials(exchange) if api_key else []:
        if name not in ("apiKey", "secret"):
            setattr(exchange, name, where.get(name) or os.environ.get(variable(exchange.id, name), ""))
    return CcxtLink(exchange, where["symbols"], now_ns, where.get("stands_for"))


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
Road = Callable[[dict[str, Any], str, str, Callable[[], int]], Link]  # where, key, secret, clock
LINKS: dict[str, Road] = {
    "binance": _binance,
    "binanceusdm": _binance_futures,
    "coinbase": _coinbase,
    "cboe": _cboe,
    "deribit": _deribit,
}
