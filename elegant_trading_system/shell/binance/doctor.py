"""What can be asked of Binance, Spot or USD-M, before money is: clock, symbols, lines, the key and what it may do."""

import asyncio
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any, NamedTuple

import aiohttp
import msgspec

from ..doctor import Finding
from ..doctor_venue import NS_PER_MS, TIMEOUT_S, Unanswered, ask, reach
from .link import Place
from .orders import signature_of

REFUSED_KEYS = (-2014, -2015, -1022)
WRONG_TIME = -1021


class Api(NamedTuple):
    """What one of its venues calls things."""

    name: str
    prefix: str  # of REST
    streams: str  # of market streams
    account: str
    right: str  # what a key needs to trade there
    coin: str  # where it says whether fees are paid with the venue's coin


SPOT = Api("binance", "/api/v3", "", "/api/v3/account", "enableSpotAndMarginTrading", "/api/v3/account/commission")
USDM = Api("binanceusdm", "/fapi/v1", "/public", "/fapi/v3/account", "enableFutures", "/fapi/v1/feeBurn")


async def examine(
    api: Api, place: Place, symbols: list[str], now_ns: Callable[[], int], wallet: str = ""
) -> list[Finding]:
    """All checks of one venue; what cannot be asked because something before it failed is skipped.

    `wallet` is the address that knows what a key may do; only Spot's own has it.
    """
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    async with aiohttp.ClientSession(timeout=timeout) as http:
        visit = _Visit(http, api, place, now_ns, wallet)
        reached = await visit.clock()
        if reached[0].result == "fail":
            names = ("symbols", "market streams", "order line", "key", "permissions", "fees")
            return [
                *reached,
                *(Finding(f"{api.name} {name}", "skipped", "the venue was not reached") for name in names),
            ]
        streams = await visit.streams(symbols[0]) if symbols else []
        key = await visit.key()
        is_asked = bool(symbols) and key[0].result == "ok"
        fees = await visit.fees(symbols) if is_asked else [Finding(f"{api.name} fees", "skipped", "no key to ask with")]
        return [*reached, *await visit.symbols(symbols), *streams, *await visit.orders(), *key, *fees]


class _Visit:
    def __init__(
        self, http: aiohttp.ClientSession, api: Api, place: Place, now_ns: Callable[[], int], wallet: str
    ) -> None:
        self.http, self.api, self.place, self.now_ns, self.wallet = http, api, place, now_ns, wallet
        self.name = api.name

    async def _signed(self, url: str, query: str = "") -> tuple[int, Any]:
        query += f"timestamp={self.now_ns() // NS_PER_MS}"
        signature = signature_of(self.place.secret, query)
        return await ask(self.http, f"{url}?{query}&signature={signature}", {"X-MBX-APIKEY": self.place.api_key})

    # --- the venue --------------------------------------------------------------------------------------------
    async def clock(self) -> list[Finding]:
        url = f"{self.place.rest}{self.api.prefix}/time"
        return await reach(self.http, self.name, url, lambda answer: int(answer["serverTime"]), self.now_ns)

    async def symbols(self, symbols: list[str]) -> list[Finding]:
        try:
            _, info = await ask(self.http, f"{self.place.rest}{self.api.prefix}/exchangeInfo")
            known = {entry["symbol"]: entry for entry in info["symbols"]}
        except (Unanswered, KeyError, TypeError) as error:
            return [Finding(f"{self.name} symbols", "fail", f"exchangeInfo: {error}", "try again later")]
        return [symbol_finding(self.name, symbol, known.get(symbol)) for symbol in symbols]

    async def streams(self, symbol: str) -> list[Finding]:
        """Does the market speak?"""
        name, url = (
            f"{self.name} market streams",
            f"{self.place.streams}{self.api.streams}/stream?streams={symbol.lower()}@depth@100ms",
        )
        began = time.perf_counter()
        try:
            async with self.http.ws_connect(url) as socket, asyncio.timeout(TIMEOUT_S):
                await socket.receive_str()
        except (aiohttp.ClientError, OSError, TimeoutError, TypeError) as error:
            advice = "books come from here: without it nothing is traded"
            return [Finding(name, "fail", f"{self.place.streams}: {error or 'silent'}", advice)]
        return [Finding(name, "ok", f"first message after {(time.perf_counter() - began) * 1000:.0f} ms")]

    async def orders(self) -> list[Finding]:
        name = f"{self.name} order line"
        if not self.place.api:
            return [Finding(name, "skipped", "no address")]
        try:
            async with self.http.ws_connect(self.place.api) as socket, asyncio.timeout(TIMEOUT_S):
                began = time.perf_counter()
                await socket.send_str('{"id":1,"method":"ping"}')
                answer = msgspec.json.decode(await socket.receive_str())
                took_ms = (time.perf_counter() - began) * 1000
        except (aiohttp.ClientError, OSError, TimeoutError, TypeError, msgspec.DecodeError) as error:
            return [Finding(name, "fail", f"{self.place.api}: {error or 'silent'}", "orders go this way")]
        result = "ok" if answer.get("status") == 200 else "fail"
        return [Finding(name, "ok" if result == "ok" else "fail", f"{took_ms:.1f} ms there and back")]

    # --- what trading costs -----------------------------------------------------------------------------------
    async def fees(self, symbols: list[str]) -> list[Finding]:
        try:
            status, answer = await self._signed(f"{self.place.rest}{self.api.coin}", f"symbol={symbols[0]}&")
        except Unanswered as error:
            status, answer = 0, {"msg": str(error)}
        return [coin_finding(self.name, answer if status == 200 else None)]

    # --- the key ----------------------------------------------------------------------------------------------
    async def key(self) -> list[Finding]:
        names = f"{self.name} key", f"{self.name} permissions"
        if not self.place.api_key or not self.place.secret:
            return [Finding(name, "skipped", "no key is set") for name in names]
        accepted = Finding(names[0], "ok", "the venue knows it")
        try:
            status, account = await self._signed(f"{self.place.rest}{self.api.account}")
            if status != 200:
                return [_refused_key(self.name, account), Finding(names[1], "skipped", "the key was refused")]
            if not self.wallet:
                return [accepted, Finding(names[1], "skipped", "this venue does not say")]
            status, allowed = await self._signed(f"{self.wallet}/sapi/v1/account/apiRestrictions")
        except Unanswered as error:
            return [Finding(names[0], "fail", str(error), "try again later")]
        if status != 200:
            advice = "testnets cannot say; look at the key's page of a real venue"
            return [accepted, Finding(names[1], "warn", f"could not be asked ({status})", advice)]
        return [accepted, permission_finding(self.api, allowed)]


def symbol_finding(venue: str, symbol: str, entry: dict[str, Any] | None) -> Finding:
    """Is it traded, by limit orders, on a grid that is said?"""
    name = f"{venue} {symbol}"
    if entry is None:
        return Finding(name, "fail", "not there", "symbols are written as the venue does: BTCUSDT")
    if entry.get("status") != "TRADING":
        return Finding(name, "fail", f"is {entry.get('status')}, not TRADING", "leave it out")
    filters = {one.get("filterType"): one for one in entry.get("filters", [])}
    least = filters.get("NOTIONAL") or filters.get("MIN_NOTIONAL") or {}
    steps = {
        "tick": filters.get("PRICE_FILTER", {}).get("tickSize", "0"),
        "lot": filters.get("LOT_SIZE", {}).get("stepSize", "0"),
        "least": least.get("minNotional") or least.get("notional") or "",
    }
    missing = [which for which in ("tick", "lot") if not Decimal(steps[which])]
    if missing or "LIMIT" not in entry.get("orderTypes", []):
        what = f"no {' and '.join(missing)}" if missing else "no limit orders"
        return Finding(name, "fail", what, "leave it out")
    shown = ", ".join(f"{which} {Decimal(step).normalize():f}" for which, step in steps.items() if step)
    return Finding(
        name, "ok" if steps["least"] else "warn", f"TRADING, {shown}", "" if steps["least"] else "no least value"
    )


def coin_finding(venue: str, answer: Any) -> Finding:
    """Fees paid with a coin that the run does not trade are known only as well as that coin's price."""
    name = f"{venue} fees"
    try:
        is_on = answer["feeBurn"] if "feeBurn" in answer else answer["discount"]["enabledForAccount"]
    except (TypeError, KeyError):
        return Finding(name, "skipped", "the venue does not say whether they are paid with BNB")
    if not is_on:
        return Finding(name, "ok", "are paid with what is traded")
    advice = (
        "switch 'use BNB to pay for fees' off in the account's settings; left on, nothing is lost: fees are counted "
        "at BNB's last price, and the BNB itself is set aside"
    )
    return Finding(name, "warn", "are paid with BNB", advice)


def permission_finding(api: Api, allowed: dict[str, Any]) -> Finding:
    """What the key may do beyond what it needs; one that can move money away is refused."""
    name = f"{api.name} permissions"
    moving = ("enableWithdrawals", "enableInternalTransfer", "permitsUniversalTransfer")
    if can := [which for which in moving if allowed.get(which) is not False]:
        return Finding(name, "fail", f"the key can move money away: {', '.join(can)}", "make one that can only trade")
    if not allowed.get(api.right):
        return Finding(name, "fail", f"the key cannot trade: no {api.right}", "allow that, and nothing else")
    if not allowed.get("ipRestrict"):
        return Finding(name, "warn", "the key works from anywhere", "tie it to this machine's address")
    return Finding(name, "ok", "can trade, cannot withdraw, tied to addresses")


def _refused_key(venue: str, answer: Any) -> Finding:
    code = answer.get("code") if isinstance(answer, dict) else None
    said = f"{answer.get('msg')} ({code})" if isinstance(answer, dict) else "refused"
    if code == WRONG_TIME:
        return Finding(f"{venue} key", "fail", said, "set this machine's clock first")
    advice = "is it of this venue, of this address, and its secret's?" if code in REFUSED_KEYS else "try again later"
    return Finding(f"{venue} key", "fail", said, advice)
