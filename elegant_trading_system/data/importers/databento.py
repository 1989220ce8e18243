"""Databento files, .dbn or .dbn.zst: mbp-10, mbp-1, trades and mbo, by Databento's own library.

Prices come as whole billionths; a book of ten or one levels a side becomes what changed from record to record, in
which a level that left the view is a level removed. `ts_recv` is the receive time, `ts_event` the venue's.
"""

from collections.abc import Iterator
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ...core.kinds import Kind, Side
from ...errors import UserError
from ..decimals import Array
from .databento_books import F_MAYBE_BAD_BOOK, UNDEF_PRICE, Orders, Views, stamped
from .listing_files import Known, known, read_sidecar, unknown_listing
from .vendor import BOOK_BEHIND, TRADES_FIRST, Intake, OpenWriter, Progress, VendorFile, import_files
from .zstd_frames import is_complete, is_zstd

READ_BYTES = 1 << 20
BATCH_RECORDS = 1 << 14
PRICE_PLACES = 9
SCHEMAS = ("mbp-10", "mbp-1", "trades", "mbo")
HINT = "DBN files with the schemas mbp-10, mbp-1, trades and mbo are read"
US_EQUITIES = (
    "XNAS",
    "XNYS",
    "XBOS",
    "XPSX",
    "BATS",
    "BATY",
    "EDGA",
    "EDGX",
    "IEXG",
    "ARCX",
    "EPRL",
    "MEMX",
    "DBEQ",
    "EQUS",
)


class Head(NamedTuple):
    """What a file says about itself."""

    dataset: str
    schema: str
    symbols: dict[int, str]  # by instrument id


@lru_cache(1)
def dbn_library() -> Any:
    """databento_dbn; UserError if it is not installed."""
    try:
        return import_module("databento_dbn")
    except ImportError:
        message = "Databento files need the library databento-dbn, which is not installed"
        raise UserError(message, 'pip install "elegant-trading-system[databento]"') from None


def read(paths: list[Path], open_writer: OpenWriter, progress: Progress) -> None:
    """Fill and finish one tape per instrument."""
    dbn_library()
    files = [file for path in paths for file in _files(path)]
    _refuse_twice(files)
    import_files([*files], open_writer, progress, has_one_clock=True)


def _refuse_twice(files: list["DbnFile"]) -> None:
    """Book files have the trades as well."""
    books = {file.listing_name: file for file in files if file.stream == BOOK_BEHIND}
    for file in files:
        if file.stream == TRADES_FIRST and (book := books.get(file.listing_name)):
            raise UserError(f"{file.path}: its trades are in {book.path} too", "leave the file of trades out")


def _files(path: Path) -> list["DbnFile"]:
    """One file of each instrument in the file at path."""
    head, first_ns = head_of(path), dict[int, int]()
    for _, records in batches(path, head):
        ids, where = np.unique(records["instrument_id"], return_index=True)
        for instrument_id, at in zip(ids.tolist(), where.tolist(), strict=True):
            first_ns.setdefault(instrument_id, int(records["ts_recv"][at].astype(np.int64)))
    if not first_ns:
        raise UserError(f"{path}: no records", HINT)
    return [DbnFile(path, head, instrument_id, ns, len(first_ns)) for instrument_id, ns in first_ns.items()]


def head_of(path: Path) -> Head:
    """The file's metadata; UserError if it is no DBN file or has another schema."""
    for message in _decoded(path):
        if not isinstance(message, dbn_library().Metadata):
            break
        schema = str(message.schema) if message.schema is not None else "mixed"
        if schema not in SCHEMAS:
            raise UserError(f"{path}: schema {schema}", HINT)
        return Head(message.dataset, schema, _symbols(message))
    raise UserError(f"{path}: no DBN metadata at its start", HINT)


def _symbols(metadata: Any) -> dict[int, str]:
    """Symbols by instrument id, whichever of the two the file was asked for by."""
    found: dict[int, str] = {}
    for raw, intervals in metadata.mappings.items():
        for interval in intervals:
            pair = (raw, interval["symbol"])
            number = next((text for text in reversed(pair) if text.isdigit()), None)
            if number is not None:
                found[int(number)] = pair[0] if pair[1] == number else pair[1]
    return found


def batches(path: Path, head: Head) -> Iterator[tuple[int, Array]]:
    """(number of the first, records as an array), in file order."""
    kind = {"mbp-10": "MBP10Msg", "mbp-1": "MBP1Msg", "trades": "TradeMsg", "mbo": "MBOMsg"}[head.schema]
    record = getattr(dbn_library(), kind)
    dtype = np.dtype(record._dtypes)  # noqa: SLF001  the library gives its layout under no other name
    number, waiting = 1, list[bytes]()
    for message in _decoded(path):
        if isinstance(message, record):
            waiting.append(bytes(message)[: dtype.itemsize])
            if len(waiting) == BATCH_RECORDS:
                yield number, np.frombuffer(b"".join(waiting), dtype)
                number, waiting = number + len(waiting), []
    if waiting:
        yield number, np.frombuffer(b"".join(waiting), dtype)


def _decoded(path: Path) -> Iterator[Any]:
    """Metadata and records; damage is refused with the record it begins behind."""
    if not is_complete(path):
        raise UserError(
            f"{path}: truncated or damaged: its blocks do not end where the file does", "fetch the file again"
        )
    dbn, count = dbn_library(), 0
    decoder = dbn.DBNDecoder(compression=dbn.Compression.ZSTD if is_zstd(path) else dbn.Compression.NONE)
    with path.open("rb") as file:
        while data := file.read(READ_BYTES):
            for message in _messages(path, count, decoder, data):
                count += 1
                yield message
    if len(decoder.buffer()):
        raise UserError(f"{path}:{count + 1}: truncated: ends within a record", "fetch the file again")
    if count == 0:
        raise UserError(f"{path}: empty file", HINT)


def _messages(path: Path, count: int, decoder: Any, data: bytes) -> list[Any]:
    try:
        decoder.write(data)
        messages: list[Any] = decoder.decode()
    except (dbn_library().DBNError, ValueError, RuntimeError) as error:
        raise _damaged(path, count, error) from None
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # how the library falls over records of a wrong length
            raise
        raise _damaged(path, count, error) from None
    return messages


def _damaged(path: Path, count: int, error: BaseException) -> UserError:
    return UserError(f"{path}{f':{count}' if count else ''}: damaged or not DBN: {error}", HINT)


class DbnFile(VendorFile):
    """One instrument's records in a file."""

    hint = HINT

    def __init__(self, path: Path, head: Head, instrument_id: int, ts_first_ns: int, instruments: int) -> None:
        super().__init__(path)
        self.head, self.instrument_id, self._ts_first_ns = head, instrument_id, ts_first_ns
        self.stream = TRADES_FIRST if head.schema == "trades" else BOOK_BEHIND
        symbol = head.symbols.get(instrument_id, "")
        beside = read_sidecar(path) if instruments == 1 else None
        self.known = beside or _known(path, head, symbol or str(instrument_id))
        self.was_bad = False
        self.book = Orders() if head.schema == "mbo" else Views(10 if head.schema == "mbp-10" else 1)

    @property
    def ts_first_ns(self) -> int:
        return self._ts_first_ns

    def _own(self) -> Iterator[tuple[Array, Array]]:
        for number, records in batches(self.path, self.head):
            is_own = records["instrument_id"] == self.instrument_id
            yield records[is_own], np.flatnonzero(is_own) + number

    def places(self) -> tuple[int, int]:
        places = 0
        for records, _ in self._own():
            for name in _price_names(records):
                prices = records[name][records[name] != UNDEF_PRICE]
                while places < PRICE_PLACES and (prices % 10 ** (PRICE_PLACES - places) != 0).any():
                    places += 1
        return places, 0

    def batches(self, intake: Intake) -> Iterator[Array]:
        size, done = max(1, self.path.stat().st_size), 0
        for records, numbers in self._own():
            done += records.nbytes
            self.share_read = min(1.0, done / (4 * size))  # packed: about so
            intake.quality.lines += len(records)
            intake.quality.sequence_gaps += self._gaps(records)
            yield self._rows(records, numbers, intake)

    def _gaps(self, records: Array) -> int:
        """How often the book begins to be doubtful."""
        is_bad = (records["flags"] & F_MAYBE_BAD_BOOK) != 0
        begins = is_bad & ~np.concatenate([[self.was_bad], is_bad[:-1]])[: len(is_bad)]
        self.was_bad = bool(is_bad[-1]) if len(is_bad) else self.was_bad
        return int(begins.sum())

    def _rows(self, records: Array, numbers: Array, intake: Intake) -> Array:
        trades = self._trades(records, numbers, intake)
        if self.head.schema == "trades":
            return trades
        rows = np.concatenate([trades, self.book.rows(records, numbers)])
        rows = rows[np.argsort(rows["number"], kind="stable")]
        self._to_grid(rows, intake)
        if isinstance(self.book, Orders):
            intake.quality.ignored_lines += self.book.unknown
            self.book.unknown = 0
        return rows

    def _trades(self, records: Array, numbers: Array, intake: Intake) -> Array:
        is_trade = records["action"] == b"T"
        sides = np.select([records["side"] == b"B", records["side"] == b"A"], [Side.BUY, Side.SELL], 0)
        intake.quality.ignored_lines += int(
            (is_trade & (sides == 0)).sum()
        )  # auctions, off the book: nobody's initiative
        is_used = is_trade & (sides != 0)
        used = records[is_used]
        if (used["size"] == 0).any():
            raise self.refused(int(numbers[is_used][np.argmax(used["size"] == 0)]), "trade of size zero")
        rows = stamped(used, numbers[is_used], Kind.TRADE)
        rows["ticks"], rows["lots"], rows["side"] = used["price"], used["size"], sides[is_used]
        if self.head.schema == "trades":
            self._to_grid(rows, intake)
        return rows

    def _to_grid(self, rows: Array, intake: Intake) -> None:
        """Billionths to ticks, units to lots."""
        numerator, denominator = intake.spec.tick_size.as_integer_ratio()
        billionths, rest = divmod(10**PRICE_PLACES * numerator, denominator)
        has_level = rows["side"] != 0
        is_off = has_level & ((rows["ticks"] % max(1, billionths) != 0) | (rest != 0))
        if is_off.any():
            at = int(np.argmax(is_off))
            reason = f"price off its tick grid: {int(rows['ticks'][at]) / 10**PRICE_PLACES}"
            raise self.refused(int(rows["number"][at]), reason, f"one tick is {intake.spec.tick_size}")
        lot = int(intake.spec.lot_size)
        if lot != intake.spec.lot_size or lot < 1:
            raise self.refused(1, f"lot {intake.spec.lot_size}: sizes are whole numbers here", "make it one")
        intake.quality.rounded_sizes += int((has_level & (rows["lots"] % lot != 0)).sum())
        rows["ticks"] //= billionths
        rows["lots"] //= lot


def _price_names(records: Array) -> list[str]:
    assert records.dtype.names is not None
    return [name for name in records.dtype.names if name == "price" or name[:6] in ("bid_px", "ask_px")]


def _known(path: Path, head: Head, symbol: str) -> Known:
    venue = head.dataset.partition(".")[0]
    if venue not in US_EQUITIES:
        raise unknown_listing(path, f"what {symbol} of {head.dataset} is, is not known")
    calendar = "XNYS" if venue in ("XNYS", "ARCX") else "XNAS"
    assumed = [f"{symbol} of {head.dataset} is a share quoted in USD, open as {calendar} is"]
    return known(venue.lower(), symbol, "USD", "", assumed, asset_class="equity", calendar=calendar)
