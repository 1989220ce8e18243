"""ccxt's client of a venue: made, looked at for what we need of it, and kept to the addresses that stand for the venue's."""

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import yarl

from ...errors import ExitCode, UserError

BY_CCXT = "ccxt:"
FEED_NEEDS = ("watchOrderBook", "watchTrades")
ORDER_NEEDS = ("createOrder", "fetchOrder", "fetchMyTrades", "fetchBalance")
FINDS_ORDERS = ("fetchOrders", "fetchCanceledAndClosedOrders", "fetchClosedOrders")  # by our name: one of these
TICK_SIZE = 4  # ccxt's precisionMode: precisions are steps
BINANCE = {"fetchCurrencies": False, "fetchMargins": False}
OPTIONS = {  # one class knows three venues of Binance's: what is not traded is not loaded
    "binance": BINANCE | {"fetchMarkets": {"types": ["spot"]}},
    "binanceusdm": BINANCE | {"fetchMarkets": {"types": ["linear"]}},
    "coinbase": {"fetchTime": "v3PublicGetBrokerageTime", "fetchBalance": "v3PrivateGetBrokerageAccounts"},  # of orders
}
VERBS, FACTS = ("get", "post", "put", "delete", "patch"), ("headers", "cookie_jar", "closed")


def exchange_of(venue: str, api_key: str = "", secret: str = "", roads: Iterable[str] = ()) -> Any:
    """ccxt.pro's client. Raises UserError without ccxt, without such a venue, and for one that tells no books or prints.

    `roads` are the venues with a road of their own: perhaps one of them was meant.
    """
    name = venue.removeprefix(BY_CCXT)
    try:
        import ccxt.pro as ccxt  # type: ignore[import-not-found, import-untyped, unused-ignore]
    except ImportError:
        meant = near(name, roads)
        raise UserError(
            f"{name}: no road of our own goes there, and ccxt is not installed",
            (f"did you mean {meant}? Otherwise " if meant else "") + "pip install '.[ccxt]'",
            ExitCode.USAGE,
        ) from None
    if name not in ccxt.exchanges:
        raise UserError(
            _unknown(name, ccxt), _hint(name, list(dict.fromkeys([*roads, *ccxt.exchanges]))), ExitCode.USAGE
        )
    config = {"apiKey": api_key, "secret": secret, "options": OPTIONS.get(name, {})}
    exchange = getattr(ccxt, name)(config)
    check_feed(exchange)
    return exchange


def near(name: str, names: Iterable[str]) -> str:
    """What was perhaps meant, however it is written."""
    by_lower = {one.lower(): one for one in names}
    return ", ".join(by_lower[one] for one in difflib.get_close_matches(name.lower(), list(by_lower), n=5))


def _unknown(name: str, ccxt: Any) -> str:
    import ccxt as plain  # type: ignore[import-not-found, import-untyped, unused-ignore]

    if name in plain.exchanges:
        return f"{name}: ccxt {ccxt.__version__} has no live feed of it, only requests"
    return f"{name}: ccxt {ccxt.__version__} knows no such venue"


def _hint(name: str, names: list[str]) -> str:
    meant = near(name, names)
    return f"did you mean {meant}?" if meant else f"it has live feeds of {', '.join(names)}"


def lacks(exchange: Any, needs: Iterable[str]) -> list[str]:
    """What ccxt cannot do at this venue."""
    return [name for name in needs if not exchange.has.get(name)]


def check_feed(exchange: Any) -> None:
    """Books and prints must be told, and prices and amounts in steps. Raises UserError."""
    if missing := lacks(exchange, FEED_NEEDS):
        raise UserError(f"{exchange.id}: ccxt has no {' and no '.join(missing)} there", "choose another venue")
    if exchange.precisionMode != TICK_SIZE:
        raise UserError(f"{exchange.id}: ccxt tells digits, not steps", "this venue needs a road of its own")


def check_orders(exchange: Any) -> None:
    """Can orders be sent, and can what became of them be asked? Raises UserError naming everything that is missing."""
    missing = lacks(exchange, ORDER_NEEDS)
    if not any(exchange.has.get(name) for name in FINDS_ORDERS):
        missing.append(f"any of {', '.join(FINDS_ORDERS)}")
    if missing:
        raise UserError(f"{exchange.id}: ccxt has no {' and no '.join(missing)} there", "its market data can be used")
    if more := [name for name in credentials(exchange) if not getattr(exchange, name)]:
        names = ", ".join(variable(exchange.id, name) for name in more)
        raise UserError(f"{exchange.id} asks for {', '.join(more)} too", f"put it into the environment: {names}")


def credentials(exchange: Any) -> list[str]:
    """What the venue wants of a customer, in ccxt's words: apiKey, secret, password..."""
    return [name for name, is_needed in exchange.requiredCredentials.items() if is_needed]


def variable(venue: str, credential: str) -> str:
    """OKX_PASSWORD, DERIVE_PRIVATE_KEY."""
    words = re.sub("([A-Z])", r"_\1", credential)
    return f"{venue}_{words}".upper()


class Redirected:
    """A session in which an address stands for the venue's. What nothing stands for is not reached: nothing leaves it."""

    def __init__(self, http: aiohttp.ClientSession, stands_for: Mapping[str, str]) -> None:
        self.http, self.stands_for = http, stands_for

    def __getattr__(self, name: str) -> Any:
        """What ccxt touches of a session, and no other way out of it."""
        if name in FACTS:
            return getattr(self.http, name)
        if name == "ws_connect":
            return self._redirected(self.http.ws_connect)
        if name in VERBS:
            return self._redirected(getattr(self.http, name), allow_redirects=False)
        raise AttributeError(name)

    def _redirected(self, ask: Callable[..., Any], **always: Any) -> Callable[..., Any]:
        def asked(url: Any, **more: Any) -> Any:
            headers = {**(more.pop("headers", None) or {}), "Host": urlsplit(str(url)).netloc}
            return ask(yarl.URL(self.local(str(url)), encoded=True), headers=headers, **more, **always)

        return asked

    def local(self, url: str) -> str:
        """The address that is asked instead. Raises UserError for one without."""
        for real, local in sorted(self.stands_for.items(), key=lambda pair: -len(pair[0])):
            rest = url[len(real) :]
            if url.startswith(real) and rest[:1] in ("", "/", "?"):
                return local + rest
        raise UserError(f"{url.partition('?')[0]}: no address of the hosts file stands for it", 'see its "stands_for"')
