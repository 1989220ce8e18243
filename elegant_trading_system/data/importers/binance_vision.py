"""Daily zips of data.binance.vision: trades, aggTrades and the futures' bookTicker.

The files have the venue's stamps only: packets are taken as received when they happened. A bookTicker row is a book of
one level a side, of which the tape holds what changed.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ...core.kinds import Kind, Side
from ...errors import UserError
from ..decimals import Array
from .binance_symbols import KNOWN_STEPS, Market, listing_spec, split_symbol
from .listing_files import Known, read_sidecar, unknown_listing
from .rows import blank_rows
from .text_files import Block, blocks, choices, head_of, integers, levels, places_of, refuse_empty, stamps_ns
from .vendor import BOOK_BEHIND, TRADES_FIRST, Intake, OpenWriter, Progress, VendorFile, import_files

NAME = re.compile(r"([A-Z0-9_]+)-(trades|aggTrades|bookTicker)-\d{4}-\d{2}(?:-\d{2})?\.(?:zip|csv|csv\.gz)")
TRADES = ["id", "price", "qty", "quote_qty", "time", "is_buyer_maker"]
AGG_TRADES = ["agg_trade_id", "price", "qty", "first_trade_id", "last_trade_id", "time", "is_buyer_maker"]
TICKER = [
    "update_id",
    "best_bid_price",
    "best_bid_qty",
    "best_ask_price",
    "best_ask_qty",
    "transaction_time",
    "event_time",
]
SPOT_ONLY = "is_best_match"
COLUMNS = {"trades": TRADES, "aggTrades": AGG_TRADES, "bookTicker": TICKER}
HINT = "SYMBOL-trades-DAY.zip, SYMBOL-aggTrades-DAY.zip and SYMBOL-bookTicker-DAY.zip are read, under these names"
ONE_STAMP = "received when they happened: the files have the venue's stamp only"


def read(paths: list[Path], open_writer: OpenWriter, progress: Progress) -> None:
    """Fill and finish one tape per listing."""
    files = [VisionFile(path) for path in paths]
    _refuse_both(files)
    import_files([*files], open_writer, progress, has_one_clock=True)


def _refuse_both(files: list["VisionFile"]) -> None:
    """aggTrades are the trades again, in sums."""
    found: dict[tuple[str, int], VisionFile] = {}
    for file in files:
        other = found.setdefault((file.listing_name, file.stream), file)
        if other.what != file.what:
            raise UserError(f"{file.path}: the same trades as {other.path}, in sums or singly", "give one of the two")


class VisionFile(VendorFile):
    """One stream of one symbol."""

    hint = HINT

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        found = NAME.fullmatch(path.name)
        if found is None:
            raise UserError(f"{path}: not a name of data.binance.vision", HINT)
        self.symbol, self.what = found.groups()
        self.stream = BOOK_BEHIND if self.what == "bookTicker" else TRADES_FIRST
        head = head_of(path).split(",")
        self.has_header = not head[0].isdigit()
        self.names = COLUMNS[self.what]
        is_spot = len(head) == len(self.names) + 1 and self.what != "bookTicker"
        self.names = [*self.names, SPOT_ONLY] if is_spot else self.names
        self.id_name = self.names[0]
        self.known = read_sidecar(path) or _known(path, self.symbol, is_spot)
        first = next(blocks(path, self.names, self.has_header))
        self._ts_first_ns = int(self._stamps(first._replace(columns=first.columns.head(1)))[0])
        self.touch: Array = np.zeros((1, 2), np.int64)  # prices of the last row, in ticks; 0 before the first

    @property
    def ts_first_ns(self) -> int:
        return self._ts_first_ns

    def _stamps(self, block: Block) -> Array:
        return stamps_ns(block, "transaction_time" if self.what == "bookTicker" else "time", self.refused)

    def places(self) -> tuple[int, int]:
        pairs = [("best_bid_price", "best_bid_qty"), ("best_ask_price", "best_ask_qty")]
        price = size = 0
        for block in blocks(self.path, self.names, self.has_header):
            for price_name, size_name in pairs if self.what == "bookTicker" else [("price", "qty")]:
                price = max(price, places_of(block.columns[price_name]))
                size = max(size, places_of(block.columns[size_name]))
        return price, size

    def batches(self, intake: Intake) -> Iterator[Array]:
        for block in blocks(self.path, self.names, self.has_header):
            self.share_read = block.share_read
            intake.quality.lines += len(block.columns)
            ids = integers(block, self.id_name, self.refused)
            is_new = intake.take_ids(self.stream, ids, is_gapless=self.what != "bookTicker")
            rows = (
                self._ticker(block, ids, is_new, intake) if self.stream == BOOK_BEHIND else self._trades(block, intake)
            )
            yield rows if self.stream == BOOK_BEHIND else rows[is_new]

    def _trades(self, block: Block, intake: Intake) -> Array:
        parsed, rounded = levels(block, "price", "qty", intake.grid, self.refused)
        refuse_empty(block, "qty", np.ones(len(parsed), bool), self.refused)
        intake.quality.rounded_sizes += rounded
        rows = blank_rows(len(parsed), number=block.numbers, kind=Kind.TRADE)
        rows["ticks"], rows["lots"] = parsed["price_ticks"], parsed["lots"]
        rows["ts_local_ns"] = rows["ts_venue_ns"] = self._stamps(block)
        maker = {"true": Side.SELL, "false": Side.BUY}  # a buyer who waited was sold to
        rows["side"] = choices(block, "is_buyer_maker", maker, self.refused)
        return rows

    def _ticker(self, block: Block, ids: Array, is_new: Array, intake: Intake) -> Array:
        """Per line: the bid that is no more, the bid, the ask that is no more, the ask."""
        bids, bids_cut = levels(block, "best_bid_price", "best_bid_qty", intake.grid, self.refused)
        asks, asks_cut = levels(block, "best_ask_price", "best_ask_qty", intake.grid, self.refused)
        intake.quality.rounded_sizes += bids_cut + asks_cut
        stamps = self._stamps(block)[is_new]
        prices = np.column_stack([bids["price_ticks"], asks["price_ticks"]])[is_new]
        sizes = np.column_stack([bids["lots"], asks["lots"]])[is_new]
        before = np.concatenate([self.touch, prices])[:-1]
        self.touch = prices[-1:] if len(prices) else self.touch
        ticks, lots = np.zeros((len(prices), 4), np.int64), np.zeros((len(prices), 4), np.int64)
        ticks[:, ::2], ticks[:, 1::2], lots[:, 1::2] = before, prices, sizes
        repeats = np.repeat(np.arange(len(prices)), 4)
        rows = blank_rows(4 * len(prices), number=block.numbers[is_new][repeats], part=ids[is_new][repeats])
        rows["ts_local_ns"] = rows["ts_venue_ns"] = stamps[repeats]
        rows["ticks"], rows["lots"] = ticks.ravel(), lots.ravel()
        rows["side"] = np.tile([Side.BUY, Side.BUY, Side.SELL, Side.SELL], len(prices))
        rows["kind"] = np.where(before[:, :1].repeat(4, 1).ravel() == 0, Kind.SNAPSHOT, Kind.DEPTH)
        is_same = np.zeros((len(prices), 4), bool)
        is_same[:, ::2] = (before == prices) | (before == 0)
        return rows[~is_same.ravel()]


def _known(path: Path, symbol: str, is_spot: bool) -> Known:
    market = Market.SPOT if is_spot else Market.INVERSE if symbol.endswith("_PERP") else Market.LINEAR
    if split_symbol(market, symbol) is None:
        raise unknown_listing(path, f"what {symbol} of {market.value} is, is not known")
    steps = KNOWN_STEPS.get((market, symbol))
    spec = listing_spec(market, symbol, steps or KNOWN_STEPS[Market.SPOT, "BTCUSDT"])
    assumed = [ONE_STAMP, f"{market.value}: the file's columns and name"]
    if steps:
        assumed.append(f"tick {spec.tick_size} and lot {spec.lot_size}, as Binance has them for {symbol}")
    return Known(spec, assumed, has_steps=steps is not None)
