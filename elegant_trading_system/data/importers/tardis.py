"""Tardis CSV files: incremental_book_L2 and trades, as downloaded (.csv.gz) or unpacked.

Files of one listing, books and trades, become one tape. A snapshot is a run of is_snapshot rows; Tardis says that it
discards the book only where the row before it was none, so later stamps within a run add levels.
"""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from ...core.kinds import Kind, Side
from ..decimals import Array
from .binance_symbols import KNOWN_STEPS, Market, listing_spec, split_symbol
from .listing_files import Known, known, read_sidecar, unknown_listing
from .rows import blank_rows
from .text_files import Block, blocks, choices, head_of, integers, levels, places_of, refuse_empty, stamps_ns
from .vendor import BOOK_BEHIND, TRADES_FIRST, Intake, OpenWriter, Progress, VendorFile, import_files

BOOK = ["exchange", "symbol", "timestamp", "local_timestamp", "is_snapshot", "side", "price", "amount"]
TRADES = ["exchange", "symbol", "timestamp", "local_timestamp", "id", "side", "price", "amount"]
HINT = "Tardis incremental_book_L2 and trades files are read"
BINANCE = {"binance": Market.SPOT, "binance-futures": Market.LINEAR, "binance-delivery": Market.INVERSE}
GAPLESS_IDS = {*BINANCE, "coinbase"}
QUOTES = ("USDT", "USDC", "USD", "EUR", "GBP", "JPY", "BTC", "ETH")
SPOT_VENUES = {"coinbase", "kraken", "bitstamp", "gemini", "okex", "huobi", "kucoin", "bybit-spot", "gate-io", "upbit"}
CCXT_NAMES = {"okex": "okx", "bybit-spot": "bybit", "gate-io": "gate", "huobi": "htx"}
INVERSE = {  # one contract is worth one USD, as the venues' own pages say
    ("deribit", "BTC-PERPETUAL"): ("BTC", "0.5", "10"),
    ("deribit", "ETH-PERPETUAL"): ("ETH", "0.05", "1"),
    ("bitmex", "XBTUSD"): ("BTC", "0.5", "1"),
}


def read(paths: list[Path], open_writer: OpenWriter, progress: Progress) -> None:
    """Fill and finish one tape per listing."""
    import_files([TardisFile(path) for path in paths], open_writer, progress, has_one_clock=False)


class TardisFile(VendorFile):
    """One stream of one symbol."""

    hint = HINT

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.names = head_of(path).split(",")
        if self.names not in (BOOK, TRADES):
            raise self.refused(1, f"columns of no known Tardis file: {','.join(self.names)[:80]!r}")
        self.stream = BOOK_BEHIND if self.names == BOOK else TRADES_FIRST
        first = next(blocks(path, self.names, has_header=True))
        self.exchange, self.symbol = (first.columns[name][0] for name in ("exchange", "symbol"))
        self.known = read_sidecar(path) or _known(path, self.exchange, self.symbol)
        self._ts_first_ns = int(stamps_ns(_head(first), "local_timestamp", self.refused)[0])
        self.snapshot_ns = 0  # receive time of the snapshot whose rows are being read

    @property
    def ts_first_ns(self) -> int:
        return self._ts_first_ns

    def places(self) -> tuple[int, int]:
        price = size = 0
        for block in blocks(self.path, self.names, has_header=True):
            price = max(price, places_of(block.columns["price"]))
            size = max(size, places_of(block.columns["amount"]))
        return price, size

    def batches(self, intake: Intake) -> Iterator[Array]:
        for block in blocks(self.path, self.names, has_header=True):
            self._check_listing(block)
            self.share_read = block.share_read
            intake.quality.lines += len(block.columns)
            parsed, rounded = levels(block, "price", "amount", intake.grid, self.refused)
            intake.quality.rounded_sizes += rounded
            rows = blank_rows(len(parsed), number=block.numbers, ticks=parsed["price_ticks"], lots=parsed["lots"])
            rows["ts_local_ns"] = stamps_ns(block, "local_timestamp", self.refused)
            rows["ts_venue_ns"] = stamps_ns(block, "timestamp", self.refused)
            yield self._book(block, rows) if self.stream == BOOK_BEHIND else self._trades(block, rows, intake)

    def _check_listing(self, block: Block) -> None:
        for name, wanted in (("exchange", self.exchange), ("symbol", self.symbol)):
            is_other = (block.columns[name] != wanted).to_numpy()
            if is_other.any():
                at = int(np.argmax(is_other))
                reason = f"{block.columns[name][at]} in a file of {wanted}"
                raise self.refused(block.number + at, reason, "one symbol a file: split it")

    def _book(self, block: Block, rows: Array) -> Array:
        rows["side"] = choices(block, "side", {"bid": Side.BUY, "ask": Side.SELL}, self.refused)
        is_snapshot = choices(block, "is_snapshot", {"true": 1, "false": 0}, self.refused).astype(bool)
        starts = is_snapshot & ~np.concatenate([[self.snapshot_ns > 0], is_snapshot[:-1]])
        index = np.maximum.accumulate(np.where(starts, np.arange(len(rows)), -1))
        began_ns = np.where(index >= 0, rows["ts_local_ns"][index], self.snapshot_ns)
        is_whole = is_snapshot & (rows["ts_local_ns"] == began_ns)
        rows["kind"] = np.where(is_whole, Kind.SNAPSHOT, Kind.DEPTH)
        self.snapshot_ns = int(began_ns[-1]) if is_snapshot[-1] else 0
        return rows

    def _trades(self, block: Block, rows: Array, intake: Intake) -> Array:
        rows["side"] = choices(block, "side", {"buy": Side.BUY, "sell": Side.SELL, "unknown": 0}, self.refused)
        rows["kind"] = Kind.TRADE
        refuse_empty(block, "amount", np.ones(len(rows), bool), self.refused)
        is_used = rows["side"] != 0
        if self.exchange in GAPLESS_IDS:
            is_new = intake.take_ids(self.stream, integers(block, "id", self.refused), is_gapless=True)
            intake.quality.ignored_lines += int((~is_used & is_new).sum())
            return rows[is_used & is_new]
        intake.quality.ignored_lines += int((~is_used).sum())
        return rows[is_used]


def _head(block: Block) -> Block:
    return block._replace(columns=block.columns.head(1))


def _known(path: Path, exchange: str, symbol: str) -> Known:
    if market := BINANCE.get(exchange):
        return _binance(path, market, symbol.upper())
    if (exchange, symbol) in INVERSE:
        base, tick, lot = INVERSE[exchange, symbol]
        steps: dict[str, Any] = {"tick_size": Decimal(tick), "lot_size": Decimal(lot)}
        found = known(exchange, base, "USD", base, [f"contracts of 1 USD, tick {tick}, lot {lot}"], **steps)
        return found._replace(has_steps=True)
    base, quote = _split(symbol)
    if exchange not in SPOT_VENUES or not base:
        raise unknown_listing(path, f"what {symbol} of {exchange} is, is not known")
    venue = CCXT_NAMES.get(exchange, exchange)
    return known(venue, base, quote, "", [f"{symbol} of {exchange} is {base}/{quote}, spot"])


def _binance(path: Path, market: Market, symbol: str) -> Known:
    if split_symbol(market, symbol) is None:
        raise unknown_listing(path, f"what {symbol} of {market.value} is, is not known")
    steps = KNOWN_STEPS.get((market, symbol))
    spec = listing_spec(market, symbol, steps or KNOWN_STEPS[Market.SPOT, "BTCUSDT"])
    text = f"tick {spec.tick_size} and lot {spec.lot_size}, as Binance has them for {symbol}"
    return Known(spec, [text] if steps else [], has_steps=steps is not None)


def _split(symbol: str) -> tuple[str, str]:
    """BTC-USD, BTC/USD, BTC_USD or BTCUSD, in any case."""
    name = symbol.upper()
    for separator in "-/_":
        base, _, quote = name.partition(separator)
        if base.isalnum() and quote.isalnum():
            return base, quote
    return next(
        ((name.removesuffix(quote), quote) for quote in QUOTES if name.endswith(quote) and name != quote), ("", "")
    )
