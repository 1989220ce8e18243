"""What ccxt can ask a venue before money is at stake: reach, clock, symbols, market streams, the key and what it may do."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from ...errors import UserError
from ..binance import doctor as doctor_binance
from ..coinbase import doctor as doctor_coinbase
from ..doctor import Finding
from ..doctor_venue import TIMEOUT_S, Unanswered, reach_by
from .link import CcxtLink

UNTOLD = "it cannot be told whether the key may withdraw"
NAMES = ("clock", "symbols", "market streams", "order road", "key", "permissions")


#: Where ccxt has the venue's own question about a key: its method, and who judges the answer.
RIGHTS: dict[str, tuple[str, Callable[[dict[str, Any]], Finding]]] = {
    "binance": ("sapi_get_account_apirestrictions", partial(doctor_binance.permission_finding, doctor_binance.SPOT)),
    "binanceusdm": (
        "sapi_get_account_apirestrictions",
        partial(doctor_binance.permission_finding, doctor_binance.USDM),
    ),
    "coinbase": ("v3_private_get_brokerage_key_permissions", doctor_coinbase.permission_finding),
}


async def examine(link: CcxtLink, now_ns: Callable[[], int]) -> list[Finding]:
    """All checks of one venue, whose link has been opened; what cannot be asked is skipped. The link is closed."""
    visit = _Visit(link, now_ns)
    try:
        found = await visit.reach()
        if found[0].result == "fail":
            return [*found, *(visit.finding(name, "skipped", "the venue was not reached") for name in NAMES)]
        found += await visit.symbols()
        if not any(finding.result == "fail" for finding in found):
            found += await visit.streams()
        return [*found, *visit.road(), *await visit.key()]
    finally:
        await link.close()


class _Visit:
    def __init__(self, link: CcxtLink, now_ns: Callable[[], int]) -> None:
        self.link, self.exchange, self.now_ns = link, link.exchange, now_ns

    def finding(self, name: str, result: Any, found: str, advice: str = "") -> Finding:
        return Finding(f"{self.link.name} {name}", result, found, advice)

    async def reach(self) -> list[Finding]:
        """By its time, where ccxt can ask for it; else by its markets."""
        if self.exchange.has.get("fetchTime"):
            return await reach_by(self.link.name, "by ccxt, the venue", self._time_ms, self.now_ns)
        began = time.perf_counter()
        try:
            await answered(self.exchange.load_markets())
        except Unanswered as error:
            return [self.finding("reachable", "fail", str(error), "is the network there?")]
        took_ms = (time.perf_counter() - began) * 1000
        untold = self.finding("clock", "warn", "by ccxt the venue's cannot be told", "let a time service keep ours")
        return [self.finding("reachable", "ok", f"by ccxt, its markets came in {took_ms:.0f} ms"), untold]

    async def _time_ms(self) -> int:
        told = await answered(self.exchange.fetch_time())
        if told is None:
            raise Unanswered("no time in the answer")
        return int(told) + (0 if told % 1000 else 500)  # whole seconds lag by half of one, as likely as not

    async def symbols(self) -> list[Finding]:
        found = []
        try:
            specs = await self.link.describe()
        except UserError as error:
            return [self.finding("symbols", "fail", error.message, error.hint)]
        for spec in specs:
            market = self.exchange.markets[spec.symbol]
            shown = f"{spec.kind}, tick {spec.tick_size:f}, lot {spec.lot_size:f} {spec.base}"
            fee = "" if spec.taker_fee_bps is None else f", taker {spec.taker_fee_bps:f} bps"
            if market.get("active") is False:
                found.append(self.finding(spec.symbol, "fail", "is not traded now", "leave it out"))
            else:
                found.append(self.finding(spec.symbol, "ok", shown + fee))
        return found

    async def streams(self) -> list[Finding]:
        """Does the market speak?"""
        symbol, began = self.link.instruments[0].spec.symbol, time.perf_counter()
        try:
            book = await answered(self.exchange.watch_order_book(symbol))
            is_one = book["bids"][0][0] < book["asks"][0][0]
        except (Unanswered, LookupError, TypeError) as error:
            return [
                self.finding("market streams", "fail", str(error), "books come from here: without it nothing is traded")
            ]
        took = f"a book of {symbol} after {(time.perf_counter() - began) * 1000:.0f} ms"
        return [self.finding("market streams", "ok" if is_one else "fail", took if is_one else f"{took}, crossed")]

    def road(self) -> list[Finding]:
        try:
            self.link.check_able()
        except UserError as error:
            is_wanted = bool(self.exchange.apiKey)
            return [self.finding("order road", "fail" if is_wanted else "warn", error.message, error.hint)]
        return [self.finding("order road", "ok", "ccxt can send orders, find them again and list their fills")]

    async def key(self) -> list[Finding]:
        if not self.exchange.apiKey or not self.exchange.secret:
            return [self.finding(name, "skipped", "no key is set") for name in ("key", "permissions")]
        try:
            await answered(self.exchange.fetch_balance())
        except Unanswered as error:
            advice = "is it of this venue, and its secret's?"
            refused = self.finding("key", "fail", f"by ccxt, {error}", advice)
            return [refused, self.finding("permissions", "skipped", "the key was refused")]
        return [self.finding("key", "ok", "the venue knows it"), await self._permissions()]

    async def _permissions(self) -> Finding:
        """A key that can move money away is refused; where nobody says, that is what is said."""
        advice = f"look at the key's page yourself, then say so: --key-checked {self.link.name}"
        if self.link.name not in RIGHTS:
            return self.finding("permissions", "warn", UNTOLD, advice)
        method, judge = RIGHTS[self.link.name]
        try:
            return judge(await answered(getattr(self.exchange, method)()))
        except Unanswered as error:
            return self.finding("permissions", "warn", f"{UNTOLD}: {error}", advice)


async def answered(answer: Awaitable[Any]) -> Any:
    """Whatever ccxt raises is no answer."""
    try:
        return await asyncio.wait_for(answer, TIMEOUT_S)
    except TimeoutError:
        raise Unanswered("no answer in time") from None
    except UserError as error:
        raise Unanswered(error.message) from None
    except Exception as error:  # a library of a hundred venues  # noqa: BLE001
        raise Unanswered(f"{type(error).__name__}: {str(error)[:200]}") from None
