"""Tapes: one listing's packets and levels as memory-mapped files, plus a page of facts about them.

A tape is a folder `VENUE/SYMBOL/FIRSTNS_LASTNS/` in a catalog, holding
    packets.bin   PACKET records, ts_local_ns non-decreasing, listing_id 0, level_begin into levels.bin
    levels.bin    LEVEL records
    tape.json     TapeFacts
It is written under a temporary name and renamed when complete: a crash leaves no half tape.
"""

import hashlib
import mmap
import os
import shutil
import uuid
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from filelock import FileLock
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..core.schema import LEVEL, PACKET, SCHEMA_VERSION
from ..errors import UserError

PARTIAL_PREFIX = ".partial-"
ListingKindName = Literal["spot", "linear", "inverse", "dark", "index", "volatility"]
AssetClass = Literal["crypto", "equity"]


class ListingSpec(BaseModel):
    """An instrument on one venue: what its integers mean and what its venue accepts."""

    model_config = ConfigDict(frozen=True)

    venue: str
    symbol: str  # as ccxt writes it: BTC/USDT, BTC/USDT:USDT (linear), BTC/USD:BTC (inverse)
    kind: ListingKindName
    base: str
    quote: str
    settle: str
    tick_size: Decimal = Field(gt=0)  # quote per tick
    lot_size: Decimal = Field(gt=0)  # base per lot; INVERSE: contracts per lot
    contract_quote: Decimal = Decimal(0)  # INVERSE: quote value of one contract
    lots_min: int = 1
    notional_min: Decimal = Decimal(0)  # quote
    reference: str = ""  # DARK: "VENUE SYMBOL" of the listing whose midpoint it trades at
    asset_class: AssetClass = "crypto"  # decides which volatility index counts and how the VWAP is anchored
    calendar: str = ""  # market with opening hours, as exchange-calendars names it (XNAS); "" = always open
    taker_fee_bps: Decimal | None = Field(
        None, ge=0
    )  # as the venue says; the configuration knows better, if it names the venue

    @property
    def name(self) -> str:
        return f"{self.venue} {self.symbol}"

    def is_like(self, other: "ListingSpec") -> bool:
        """The same numbers mean the same; a fee may have changed."""
        return self.model_copy(update={"taker_fee_bps": other.taker_fee_bps}) == other


class Quality(BaseModel):
    """What was found while importing: counted, never mended in silence."""

    lines: int = 0
    depth_packets: int = 0
    trades: int = 0
    snapshots: int = 0
    dropped_before_snapshot: int = 0  # depth messages while no book was known
    repeats: int = 0  # depth messages, trades and bars that were known already
    ignored_lines: int = 0  # streams we do not use, bookTicker for one; snapshots too old to use; off-market trades
    rounded_sizes: int = 0  # finer than a lot: cut to whole lots, bars taken to the nearest
    bars: int = 0
    missing_bars: int = 0  # minutes without one between the first and the last; days without one where days are due
    faulty_bars: int = 0  # contradict themselves or one another: left out
    outlier_bars: int = 0  # prices ten times off those around them: left out
    zero_volume_bars: int = 0  # kept
    rounded_prices: int = 0  # finer than a tick, taken to the nearest
    heartbeats: int = 0  # packets without rows: silences the recording vouches for, messages that changed no level
    revealed_levels: int = 0  # seen only because a better level went, and read from the vendor's own book
    corrected_levels: int = 0  # where the vendor's own book knew otherwise
    vendor_rows: int = 0  # of the vendor's own books, held against ours
    vendor_rows_equal: int = 0
    unlisted_orders: int = 0  # changed or ended, though placed before the recording began
    held_orders: int = 0  # kept out of the book while they would have crossed it
    assumed_sides: int = 0  # trades whose side is only that of the middle they lie on
    sequence_gaps: int = 0
    trade_id_gaps: int = 0
    crossed_books: int = 0
    negative_latencies_after_correction: int = 0
    clock_offset_ns: int = 0  # added to venue stamps; raw stamp = ts_venue_ns - clock_offset_ns
    latency_ns_median: int = 0
    latency_ns_p99: int = 0
    silence_ns_max: int = 0  # longest time between two packets


class TapeFacts(BaseModel):
    """The page of facts beside a tape."""

    schema_version: int = SCHEMA_VERSION
    listing: ListingSpec
    source: str  # "binance-capture", "simulated ..."
    source_files: list[str] = []
    assumed: list[str] = []  # what the files do not say about the listing and its stamps
    packets: int = 0
    levels: int = 0
    ts_first_ns: int = 0
    ts_last_ns: int = 0
    latency_ns_max: int = 0  # largest ts_local_ns - ts_venue_ns
    digest: str = ""  # sha256 of packets.bin then levels.bin
    quality: Quality = Quality()


class Tape:
    """A finished tape, memory-mapped."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.facts = _read_facts(folder)
        _check_size(folder / "packets.bin", PACKET, self.facts.packets)
        _check_size(folder / "levels.bin", LEVEL, self.facts.levels)

    @property
    def packets(self) -> np.ndarray[Any, Any]:
        return _map(self.folder / "packets.bin", PACKET, self.facts.packets)

    @property
    def levels(self) -> np.ndarray[Any, Any]:
        return _map(self.folder / "levels.bin", LEVEL, self.facts.levels)

    @property
    def truth(self) -> np.ndarray[Any, Any] | None:
        """Simulated tapes only: the efficient price in ticks (float) when each packet left its venue."""
        path = self.folder / "truth.bin"
        return _map(path, np.dtype("f8"), self.facts.packets) if path.exists() else None


def _read_facts(folder: Path) -> TapeFacts:
    try:
        facts = TapeFacts.model_validate_json((folder / "tape.json").read_text())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        reason = f"{where}: {first['msg']}" if where else first["msg"]
        raise UserError(f"{folder / 'tape.json'}: {reason}", "remove the folder and import again") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{folder}: not a tape: {error}", "remove the folder and import again") from None
    if facts.schema_version != SCHEMA_VERSION:
        message = f"{folder}: tape has schema {facts.schema_version}, this program reads {SCHEMA_VERSION}"
        raise UserError(message, "remove the folder and import again")
    return facts


def _check_size(path: Path, dtype: np.dtype[Any], count: int) -> None:
    size = path.stat().st_size if path.exists() else -1
    if size != count * dtype.itemsize:
        message = f"{path}: {size} bytes, tape.json says {count} records of {dtype.itemsize}"
        raise UserError(message, "the tape is damaged: remove its folder and import again")


def _map(path: Path, dtype: np.dtype[Any], count: int, mode: Literal["c", "r+"] = "c") -> np.ndarray[Any, Any]:
    """Copy-on-write by default: to Numba a read-only array is another type, for which everything compiles again."""
    _check_size(path, dtype, count)
    if count == 0:
        return np.zeros(0, dtype)
    return np.asarray(np.memmap(path, dtype=dtype, mode=mode, shape=(count,)))


def forget(array: np.ndarray[Any, Any], count: int) -> None:
    """Give back the memory of a mapped tape's first `count` records: they have been read, and the file keeps them."""
    mapped = getattr(array.base, "_mmap", None)
    pages = count * array.itemsize // mmap.PAGESIZE * mmap.PAGESIZE
    if mapped is not None and pages and hasattr(mapped, "madvise"):  # Windows has none, and does so by itself
        mapped.madvise(mmap.MADV_DONTNEED, 0, pages)


class TapeWriter:
    """Append chunks, then `close(facts)` to make the tape visible. Leaving by an exception leaves nothing."""

    def __init__(self, catalog: Path, listing: ListingSpec, source: str) -> None:
        self.catalog = catalog
        self.facts = TapeFacts(listing=listing, source=source)
        self.partial = catalog / f"{PARTIAL_PREFIX}{uuid.uuid4().hex}"
        catalog.mkdir(parents=True, exist_ok=True)
        self._lock = _hold(self.partial)
        self.partial.mkdir()
        self._packets = (self.partial / "packets.bin").open("wb")
        self._levels = (self.partial / "levels.bin").open("wb")
        self._truth = (self.partial / "truth.bin").open("wb")

    def append(
        self, packets: np.ndarray[Any, Any], levels: np.ndarray[Any, Any], truth: np.ndarray[Any, Any] | None = None
    ) -> None:
        """Packets whose level_begin counts from this chunk's first level; time must not go backwards."""
        if len(packets) == 0:
            return
        ts = packets["ts_local_ns"]
        if ts[0] < self.facts.ts_last_ns or np.any(np.diff(ts) < 0):
            raise ValueError(f"{self.facts.listing.name}: ts_local_ns goes backwards")
        shifted = _copied(packets)
        shifted["level_begin"] += self.facts.levels
        shifted.tofile(self._packets)
        levels.tofile(self._levels)
        if truth is not None:
            assert len(truth) == len(packets)
            truth.astype("f8").tofile(self._truth)
        facts = self.facts
        facts.ts_first_ns = facts.ts_first_ns or int(ts[0])
        facts.ts_last_ns = int(ts[-1])
        facts.latency_ns_max = max(facts.latency_ns_max, int((ts - packets["ts_venue_ns"]).max()))
        facts.packets += len(packets)
        facts.levels += len(levels)

    def written(self) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """Packets and levels appended so far, writable in place until `finish`."""
        self._packets.flush()
        self._levels.flush()
        packets = _map(self.partial / "packets.bin", PACKET, self.facts.packets, "r+")
        return packets, _map(self.partial / "levels.bin", LEVEL, self.facts.levels, "r+")

    def finish(self) -> None:
        """Flush, digest and describe what was appended, still under its temporary name."""
        truth_bytes = self._truth.tell()
        for file in (self._packets, self._levels, self._truth):
            file.flush()
            os.fsync(file.fileno())
            file.close()
        if truth_bytes == 0:
            (self.partial / "truth.bin").unlink()
        self.facts.digest = _digest_files(self.partial / "packets.bin", self.partial / "levels.bin")
        (self.partial / "tape.json").write_text(self.facts.model_dump_json(indent=2) + "\n")

    def publish(self) -> Path:
        """Rename the finished tape to its place in the catalog."""
        folder = self.catalog / tape_path(self.facts)
        folder.parent.mkdir(parents=True, exist_ok=True)
        self.partial.rename(folder)
        _let_go(self._lock)
        return folder

    def discard(self) -> None:
        for file in (self._packets, self._levels, self._truth):
            file.close()
        shutil.rmtree(self.partial, ignore_errors=True)
        _let_go(self._lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.partial.exists():
            self.discard()


def _copied(packets: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """As bytes: NumPy copies records field by field, which takes ten times as long."""
    return np.ascontiguousarray(packets).view(np.uint8).copy().view(PACKET)


def publish_all(writers: list[TapeWriter]) -> None:
    """Make finished tapes visible together, or none of them."""
    published: list[Path] = []
    try:
        for writer in writers:
            published += [writer.publish()]
    except BaseException:
        for folder in published:
            _remove(folder)
        raise


def _remove(folder: Path) -> None:
    """A tape and the venue and symbol folders it leaves empty."""
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):
        folder.parent.rmdir()
        folder.parent.parent.rmdir()


def _hold(partial: Path) -> FileLock:
    """Lock a partial tape for as long as its writer lives, however it ends. The lock lies beside the folder: one
    inside would keep Windows from renaming it.
    """
    lock = FileLock(f"{partial}.lock")
    lock.acquire(timeout=0)
    return lock


def _let_go(lock: FileLock) -> None:
    lock.release()
    Path(lock.lock_file).unlink(missing_ok=True)


def discard_stale_partials(catalog: Path) -> int:
    """Remove what killed writers left behind, and only that; how many there were."""
    partials = {path.with_suffix("") for path in catalog.glob(f"{PARTIAL_PREFIX}*")}
    return sum(_discard_if_stale(partial) for partial in sorted(partials))


def _discard_if_stale(partial: Path) -> bool:
    try:
        lock = _hold(partial)
    except TimeoutError:
        return False  # its writer lives
    is_left_behind = partial.is_dir()
    shutil.rmtree(partial, ignore_errors=True)
    _let_go(lock)
    return is_left_behind


def tape_path(facts: TapeFacts) -> Path:
    symbol = facts.listing.symbol.replace("/", "-").replace(":", "_")
    return Path(facts.listing.venue) / symbol / f"{facts.ts_first_ns}_{facts.ts_last_ns}"


def _digest_files(*paths: Path) -> str:
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
