"""Frame -> book in process: our live path, and each peer's own parsing and book code, as a socket would call them.

Sockets and REST are left out: snapshots are handed over, and nothing here waits for anything.
"""
# ruff: noqa: SLF001 - a peer's code is called where its own socket would call it

import shutil
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import msgspec

from elegant_trading_system.config_sources import load as load_config
from elegant_trading_system.core import engine as product
from elegant_trading_system.core import jit
from elegant_trading_system.core.kinds import BookState
from elegant_trading_system.data.decimals import Grid
from elegant_trading_system.data.journal import Journal
from elegant_trading_system.data.universe import build
from elegant_trading_system.shell.binance.feed import BinanceFeed, Listing
from elegant_trading_system.shell.sequencer import Sequencer

from . import stages
from .live_frames import SYMBOL, Frames, raw

Side = dict[int, int]  # ticks -> lots
OURS = "ours"
BOOK_ONLY = "ours without strategy"


class Clock:
    """The recording's time: what is due at a boundary falls due as often as it did."""

    ns = 0

    def __call__(self) -> int:
        return self.ns


class Contender(NamedTuple):
    """Someone with a book that stands where the snapshot left it."""

    hear: Callable[[str], Any]
    is_async: bool
    is_raw: bool  # hears a connection to one stream, not a combined one
    book: Callable[[], tuple[Side, Side]]
    close: Callable[[], Awaitable[None]]


class Ours:
    """Feed, sequencer, journal and the whole engine with the product's strategy."""

    def __init__(
        self,
        frames: Frames,
        now_ns: Callable[[], int],
        send: Callable[[Any], None] = lambda _command: None,
        engine: ModuleType = product,
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ets-bench-"))
        config = load_config(environ={})
        self.journal = Journal(self.folder / "journal")
        self.sequencer = Sequencer(build([frames.spec], config), config, self.journal, now_ns, send, engine=engine)
        listing = Listing(0, SYMBOL, Grid.of(frames.spec.tick_size, frames.spec.lot_size))
        self.feed = BinanceFeed(self.sequencer, [listing], lambda _symbol: None)
        self.snapshot = frames.snapshot
        self.rewind()

    def hear(self, text: str) -> None:
        self.feed.hear(0, text)

    def book(self) -> tuple[Side, Side]:
        """What the engine's ladder holds."""
        book = self.sequencer.market[0]["books"][0]
        assert book["state"] == BookState.LIVE
        sides: list[Side] = []
        for s, sign in ((0, 1), (1, -1)):
            lots, low_x, best_x = self.sequencer.books[0]["lots"][0, s], int(book["low_x"][s]), int(book["best_x"][s])
            sides.append(
                {sign * x: int(lots[x % len(lots)]) for x in range(best_x, low_x - 1, -1) if lots[x % len(lots)]}
            )
        return sides[0], sides[1]

    def rewind(self) -> None:
        """Back to the snapshot: the same frames may come again."""
        self.feed.begin()
        self.feed.hear_up(0)
        assert self.feed.hear_snapshot(SYMBOL, self.snapshot)

    async def close(self) -> None:
        self.journal.close()
        shutil.rmtree(self.folder)


async def ours(frames: Frames, clock: Clock) -> Contender:
    clock.ns = frames.frames[0].ts_ns
    made = Ours(frames, clock)
    return Contender(made.hear, False, False, made.book, made.close)


async def ours_without_strategy(frames: Frames, clock: Clock) -> Contender:
    """Scan, arbitration, journal and book: what the peers do, and the journal."""
    clock.ns = frames.frames[0].ts_ns
    engine = jit.instantiate("elegant_trading_system.core.engine", "bench_book_engine", decider_override=stages)
    made = Ours(frames, clock, engine=engine)
    return Contender(made.hear, False, False, made.book, made.close)


async def ccxt_pro(frames: Frames, _clock: Clock) -> Contender:
    import ccxt.pro

    exchange = ccxt.pro.binance({"options": {"defaultType": "spot"}, "newUpdates": True})
    market: dict[str, Any] = {
        "id": SYMBOL, "lowercaseId": SYMBOL.lower(), "symbol": "BTC/USDT", "base": "BTC", "quote": "USDT", "baseId": "BTC",
        "quoteId": "USDT", "type": "spot", "spot": True, "active": True, "linear": None, "inverse": None, "info": {},
        "precision": {"price": float(frames.spec.tick_size), "amount": float(frames.spec.lot_size)},
        "limits": {"amount": {}, "price": {}, "cost": {}},
    }  # fmt: skip
    market |= dict.fromkeys(("margin", "swap", "future", "option", "contract"), False)
    exchange.set_markets([market])
    exchange.open()
    client = exchange.client("ws://127.0.0.1:1/stream/ws/0")  # never connected
    snapshot = msgspec.json.decode(frames.snapshot)
    parsed = exchange.parse_order_book(snapshot, "BTC/USDT") | {"nonce": snapshot["lastUpdateId"]}
    book = exchange.order_book(parsed, 1000)
    exchange.orderbooks["BTC/USDT"] = book

    def sides() -> tuple[Side, Side]:
        return _whole(frames, book["bids"]), _whole(frames, book["asks"])

    return Contender(client.handle_text_or_binary_message, False, True, sides, exchange.close)


async def cryptofeed(frames: Frames, _clock: Clock) -> Contender:
    from cryptofeed.defines import BINANCE, L2_BOOK
    from cryptofeed.exchanges import Binance
    from cryptofeed.symbols import Symbols

    async def heard(_book: Any, _stamp: float) -> None:
        pass

    async def fetch(_address: str, **_options: Any) -> str:
        return frames.snapshot.decode()

    facts = {"tick_size": {"BTC-USDT": str(frames.spec.tick_size)}, "instrument_type": {"BTC-USDT": "spot"}}
    Symbols.set(BINANCE, {"BTC-USDT": SYMBOL}, facts)
    feed = Binance(symbols=["BTC-USDT"], channels=[L2_BOOK], callbacks={L2_BOOK: heard}, cross_check=False)
    feed.http_conn.read = fetch
    feed._reset()

    def sides() -> tuple[Side, Side]:
        book = feed._l2_book["BTC-USDT"].book
        return _whole(frames, book.bids.to_dict().items()), _whole(frames, book.asks.to_dict().items())

    async def close() -> None:
        await feed.http_conn.close()

    return Contender(lambda text: feed.message_handler(text, None, 1.0), True, False, sides, close)


async def python_binance(frames: Frames, _clock: Clock) -> Contender:
    from binance import AsyncClient, BinanceSocketManager
    from binance.ws.depthcache import DepthCacheManager

    async def fetch(**_options: Any) -> Any:
        return msgspec.json.decode(frames.snapshot)

    client = AsyncClient()
    client.get_order_book = fetch
    manager = DepthCacheManager(client, SYMBOL, bm=BinanceSocketManager(client), limit=1000, refresh_interval=0)
    await manager._init_cache()
    parse = manager._bm.depth_socket(SYMBOL)._handle_message

    async def hear(text: str) -> None:
        await manager._depth_event(parse(text))

    def sides() -> tuple[Side, Side]:
        cache = manager.get_depth_cache()
        return _whole(frames, cache.get_bids()), _whole(frames, cache.get_asks())

    return Contender(hear, True, True, sides, client.close_connection)


CONTENDERS: dict[str, Callable[[Frames, Clock], Awaitable[Contender]]] = {
    OURS: ours,
    BOOK_ONLY: ours_without_strategy,
    "ccxt.pro": ccxt_pro,
    "cryptofeed": cryptofeed,
    "python-binance": python_binance,
}


def text_for(contender: Contender, text: str) -> str:
    return raw(text) if contender.is_raw else text


def _whole(frames: Frames, rows: Any) -> Side:
    """Whatever a peer calls a price and a size, in ticks and lots."""
    tick, lot = float(frames.spec.tick_size), float(frames.spec.lot_size)
    return {round(float(price) / tick): round(float(size) / lot) for price, size in rows}
