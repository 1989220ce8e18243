"""Binance USD-M's bytes: /public twice, /market and /private once, REST for what the streams do not say, ws-fapi for orders."""

import asyncio
import contextlib
import itertools
from collections.abc import Callable, Coroutine
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import msgspec

from ...data.tape import ListingSpec
from ...errors import UserError
from ..sequencer import Sequencer
from .feed import Listing
from .futures_feed import BinanceFuturesFeed
from .futures_gateway import BinanceFuturesGateway
from .futures_setup import LiquidationWatch, check, requests
from .link import BinanceLink, Place
from .orders import Json, symbol_of

LEVERAGE = 5  # the venue's limit on what we may owe; the core's own limits are tighter
KEY_CHECK_S = 1.0
MARGIN_CHECK_S = 10.0
CHECKS_PER_INCOME = 6
REQUESTS_MAX = 1000


class BinanceFuturesLink(BinanceLink):
    """Perpetuals such as BTCUSDT on Binance USD-M."""

    name = "binanceusdm"
    prefix = "/fapi/v1"
    signed_root = "/fapi"
    coin_path, coin_price = "premiumIndex", "markPrice"  # the other's header counts weight wrongly
    open_path, cancel_path = "v1/openOrders", "v1/allOpenOrders"
    public = "/public"
    orders = BinanceFuturesGateway
    weights = MappingProxyType(
        {
            "klines": 5,
            "depth": 20,
            "v3/account": 5,
            "v3/balance": 5,
            "v3/positionRisk": 5,
            "v1/userTrades": 5,
            "v1/income": 30,
            "v1/feeBurn": 30,
        }
    )
    feed: BinanceFuturesFeed
    gateway: BinanceFuturesGateway

    def __init__(self, place: Place, symbols: list[str], now_ns: Callable[[], int], leverage: int = LEVERAGE) -> None:
        super().__init__(place, symbols, now_ns)
        self.leverage = leverage
        self.watch = LiquidationWatch()
        self._requests: asyncio.Queue[tuple[str, str, str, Json]] = asyncio.Queue(REQUESTS_MAX)

    def make(self, sequencer: Sequencer, listings: list[Listing], epoch: str) -> None:
        self.feed = BinanceFuturesFeed(sequencer, listings, self._wanted.put_nowait)
        key, send = (self.place.api_key, self.place.secret), self.send
        ask, notice = self._ask_later, self._notices.append
        self.gateway = BinanceFuturesGateway(
            sequencer, self.specs, *key, epoch, send, self.now_ms, ask, notice, self.budget
        )

    def _ask_later(self, name: str, method: str, path: str, params: Json) -> None:
        with contextlib.suppress(asyncio.QueueFull):  # asked again when the core asks
            self._requests.put_nowait((name, method, path, params))

    # --- before the first decision ----------------------------------------------------------------------------
    async def describe(self) -> list[ListingSpec]:
        specs = await super().describe()
        others = [spec.symbol for spec in specs if spec.kind != "linear"]
        if others:
            raise UserError(f"{self.name}: {', '.join(others)} is no perpetual", "choose others with --instruments")
        return specs

    async def settle_in(self) -> None:
        """One position an instrument, all money as one margin, a leverage."""
        await super().settle_in()
        for request in requests(self.symbols, self.leverage):
            status, body = await self._request(request.method, request.path, request.params)
            check(request, status, body)

    async def pays_in_coin(self) -> bool:
        return bool((await self._signed("v1/feeBurn"))["feeBurn"])

    async def balances(self) -> dict[str, Decimal]:
        """The wallet."""
        return {row["asset"]: Decimal(row["balance"]) for row in await self._signed("v3/balance")}

    async def strangers(self) -> list[str]:
        risks = await self._signed("v3/positionRisk")
        return [
            f"{Decimal(risk['positionAmt']):f} {risk['symbol']}"
            for risk in risks
            if Decimal(risk["positionAmt"]) and risk["symbol"] not in self.symbols
        ]

    async def entry_prices(self) -> dict[int, Decimal]:
        paid = {risk["symbol"]: Decimal(risk["entryPrice"]) for risk in await self._signed("v3/positionRisk")}
        return {listing_id: paid.get(symbol_of(spec), Decimal(0)) for listing_id, spec in self.specs.items()}

    async def positions(self) -> dict[int, Decimal]:
        held = {risk["symbol"]: Decimal(risk["positionAmt"]) for risk in await self._signed("v3/positionRisk")}
        return {listing_id: held.get(symbol_of(spec), Decimal(0)) for listing_id, spec in self.specs.items()}

    # --- while it runs ----------------------------------------------------------------------------------------
    def order_tasks(self) -> list[Coroutine[Any, Any, None]]:
        return [*super().order_tasks(), self._keep_user(), self._keep_requests(), self._keep_margin()]

    def market_tasks(self) -> list[Coroutine[Any, Any, None]]:
        return [*super().market_tasks(), self._keep_marks()]

    async def _keep_marks(self) -> None:
        url = f"{self.place.streams}/market/stream?streams={self.feed.mark_streams()}"
        await self.keep_connected(url, lambda _line: None, self.feed.hear_marks, lambda: None)

    async def _keep_user(self) -> None:
        """The user stream of the key that is alive; another key, another connection."""
        key = self.gateway.listen_key
        while True:
            name = key.name
            listening = asyncio.create_task(self._listen(name)) if name else None
            try:
                while key.name == name:
                    await self._renew_key()
                    if key.name == name:
                        await asyncio.sleep(KEY_CHECK_S)
            finally:
                if listening is not None:
                    listening.cancel()
                    await asyncio.gather(listening, return_exceptions=True)
                    self.gateway.hear_user_down()

    async def _listen(self, name: str) -> None:
        url = f"{self.place.streams}/private/ws?listenKey={name}"
        gateway = self.gateway
        await self.keep_connected(url, lambda _line: gateway.hear_user_up(), gateway.hear_event, gateway.hear_user_down)

    async def _renew_key(self) -> None:
        key = self.gateway.listen_key
        method = key.due(self.now_ms())
        if method:
            with contextlib.suppress(UserError):
                key.hear(method, *await self._request(method, "v1/listenKey", {}), self.now_ms())

    async def _keep_requests(self) -> None:
        """What the gateway wants to know, one at a time; what fails is asked again when the core asks."""
        while True:
            name, method, path, params = await self._requests.get()
            await asyncio.sleep(self.gateway.banned_s)
            with contextlib.suppress(UserError):
                self.gateway.hear_reply(name, *await self._request(method, path, params))

    async def _keep_margin(self) -> None:
        """How far our positions are from being closed by the venue, and what funding has cost."""
        for n in itertools.count(1):
            await asyncio.sleep(MARGIN_CHECK_S)
            if n % CHECKS_PER_INCOME == 0:
                self.gateway.ask_income()
            with contextlib.suppress(UserError, msgspec.DecodeError):
                status, body = await self._request("GET", "v3/positionRisk", {})
                if status == 200:
                    self._notices.extend(self.watch.hear(msgspec.json.decode(body)))
