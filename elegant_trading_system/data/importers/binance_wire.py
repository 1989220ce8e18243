"""Lines of a Binance capture: `<local ns> <JSON>`, gzipped, told apart by what they say."""

import gzip
import os
import zlib
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import msgspec

from ...core.schema import NEVER_NS
from ...errors import UserError
from .binance_symbols import Market, Steps, split_symbol

LINE_BYTES_MAX = 16 << 20
PROBE_LINES = 1000
STAMP_MIN_NS = 10**18  # September 2001: anything less is not in nanoseconds
FORMAT_HINT = "each line must be `<receive time, ns since 1970 UTC> <JSON message>`, gzipped"


class Data(msgspec.Struct, gc=False):
    """The inner message of a combined stream. `b` and `a` are level lists in depth, one price in bookTicker."""

    s: str = ""
    E: int = 0
    T: int = 0
    U: int = -1
    u: int = -1
    pu: int = -1
    t: int = -1
    m: bool | None = None
    X: str = ""
    p: msgspec.Raw = msgspec.Raw()
    q: msgspec.Raw = msgspec.Raw()
    b: msgspec.Raw = msgspec.Raw()
    a: msgspec.Raw = msgspec.Raw()


class Message(msgspec.Struct, gc=False):
    """A combined-stream message (stream, data) or a REST depth snapshot (lastUpdateId, bids, asks)."""

    stream: str = ""
    data: Data | None = None
    last_update_id: int = msgspec.field(default=-1, name="lastUpdateId")
    E: int = 0
    T: int = 0
    symbol: str = ""
    bids: msgspec.Raw = msgspec.Raw()
    asks: msgspec.Raw = msgspec.Raw()
    id: int | str | None = -1  # present in answers to subscriptions


class Line(NamedTuple):
    number: int
    ts_local_ns: int
    message: Message


class Identity(NamedTuple):
    """What a file holds, by its first message that tells."""

    path: Path
    market: Market
    symbol: str
    ts_first_ns: int


class CaptureFile:
    """One gzipped file of lines; whatever is wrong with it is a UserError with file and line."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.share_read = 0.0

    def refused(self, number: int, reason: str, hint: str = FORMAT_HINT) -> UserError:
        return UserError(f"{self.path}:{number}: {reason}", hint)

    def lines(self) -> Iterator[Line]:
        """Decoded lines in file order."""
        decode = msgspec.json.Decoder(Message).decode
        number, previous_ns = 0, STAMP_MIN_NS
        for number, raw in enumerate(self._raw_lines(), 1):
            stamp, _, text = raw.partition(b" ")
            ts_ns = self._stamp_ns(number, stamp, previous_ns)
            previous_ns = ts_ns
            try:
                message = decode(text)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                raise self.refused(number, f"bad JSON: {error}: {text[:40]!r}") from None
            yield Line(number, ts_ns, message)
        if number == 0:
            raise UserError(f"{self.path}: empty file", FORMAT_HINT)

    def _stamp_ns(self, number: int, stamp: bytes, previous_ns: int) -> int:
        if not stamp.isdigit() or len(stamp) > 19:
            raise self.refused(number, f"no receive time at the start of the line: {stamp[:40]!r}")
        ts_ns = int(stamp)
        if not STAMP_MIN_NS <= ts_ns < NEVER_NS:
            raise self.refused(number, f"receive time {ts_ns} is not in nanoseconds since 1970")
        if ts_ns < previous_ns:
            raise self.refused(number, f"time goes backwards by {previous_ns - ts_ns} ns")
        return ts_ns

    def _raw_lines(self) -> Iterator[bytes]:
        number = 1
        try:
            with self.path.open("rb") as packed, gzip.open(packed) as file:
                size = os.fstat(packed.fileno()).st_size
                while raw := file.readline(LINE_BYTES_MAX + 1):
                    if len(raw) > LINE_BYTES_MAX:
                        raise self.refused(number, f"line longer than {LINE_BYTES_MAX >> 20} MB")
                    if number % PROBE_LINES == 0:
                        self.share_read = packed.tell() / size
                    yield raw
                    number += 1
        except EOFError:
            raise self.refused(number, "truncated gzip file", "fetch the file again: it ends early") from None
        except (gzip.BadGzipFile, zlib.error) as error:
            raise self.refused(number, f"damaged or not gzip: {error}", "fetch the file again") from None
        except OSError as error:
            raise UserError(f"{self.path}: {error.strerror}", "check the path and its permissions") from None


def identify(path: Path) -> Identity:
    """Market and symbol by the first message that tells; every line behind it must agree."""
    file = CaptureFile(path)
    ts_first_ns = 0
    for line in file.lines():
        ts_first_ns = ts_first_ns or line.ts_local_ns
        data = line.message.data
        if data is not None and data.s and (data.u >= 0 or data.t >= 0):
            if split_symbol(_market(data), data.s) is None:
                raise file.refused(line.number, f"unknown symbol {data.s!r}", "spot pairs and perpetuals are known")
            return Identity(path, _market(data), data.s, ts_first_ns)
        if line.number == PROBE_LINES:
            break
    raise UserError(f"{path}: unknown kind of file: no depth, trade or bookTicker message at its start", FORMAT_HINT)


def _market(data: Data) -> Market:
    """Futures depth has `pu`, futures trades `X`, futures bookTicker `T`; the spot messages have none of them."""
    if data.s.endswith("_PERP"):
        return Market.INVERSE
    has_futures_field = data.pu >= 0 or data.X or (data.t < 0 and data.T)
    return Market.LINEAR if has_futures_field else Market.SPOT


def infer_steps(paths: list[Path]) -> Steps:
    """The finest decimal steps of price and size in the files."""
    price_places = size_places = 0
    for path in paths:
        for line in CaptureFile(path).lines():
            for price, size in _decimals(line):
                price_places = max(price_places, _places(price))
                size_places = max(size_places, _places(size))
    return Steps(Decimal(1).scaleb(-price_places), Decimal(1).scaleb(-size_places))


def _decimals(line: Line) -> list[tuple[str, str]]:
    data = line.message.data
    lists = (data.b, data.a) if data is not None and data.U >= 0 else (line.message.bids, line.message.asks)
    try:
        return [row for raw in lists if bytes(raw) for row in msgspec.json.decode(raw, type=list[tuple[str, str]])]
    except msgspec.ValidationError:
        return []  # refused with its line when it is read for good


def _places(decimal: str) -> int:
    return len(decimal.partition(".")[2].rstrip("0"))
