"""Small vendor files, written by the tests themselves in the vendors' layouts: none of them is a recording."""

import gzip
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from elegant_trading_system.core.kinds import BookState, Kind
from elegant_trading_system.data.catalog import Catalog
from elegant_trading_system.data.importers import import_paths
from elegant_trading_system.data.importers.hftbacktest_events import EVENT
from elegant_trading_system.data.tape import Tape
from elegant_trading_system.errors import ExitCode, UserError
from tests import naive

START_NS = 1_700_000_000_000_000_000
START_US, START_MS = START_NS // 1_000, START_NS // 1_000_000
BOTH, BUY, SELL = (1 << 31) | (1 << 30), 1 << 29, 1 << 28
LOCAL, EXCH = 1 << 30, 1 << 31

Side = dict[int, int]


class Seen(NamedTuple):
    """A book when it was received."""

    ts_local_ns: int
    bids: Side
    asks: Side


def imported(format_name: str, tmp_path: Path, *paths: Path) -> Tape:
    import_paths(format_name, list(paths), tmp_path / "catalog")
    (tape,) = Catalog(tmp_path / "catalog").tapes()
    return tape


def story(tape: Tape) -> list[str]:
    """Packets by name: a STATUS by its state."""
    return [
        BookState(packet["code"]).name if packet["kind"] == Kind.STATUS else Kind(packet["kind"]).name
        for packet in tape.packets
    ]


def books(tape: Tape) -> list[Seen]:
    """The book after each packet that moved it."""
    seen = naive.tape_books(tape.packets, tape.levels)
    return [Seen(int(packet["ts_local_ns"]), dict(bids), dict(asks)) for packet, bids, asks in seen]


def last_by_time(found: list[Seen]) -> list[Seen]:
    """The last book of each moment: rows received together are one step."""
    return list({one.ts_local_ns: one for one in found}.values())


def prints(tape: Tape) -> list[tuple[int, int, int, int]]:
    """(receive time, aggressor, ticks, lots) of every trade."""
    found = []
    for packet in tape.packets[tape.packets["kind"] == Kind.TRADE]:
        begin, count = int(packet["level_begin"]), int(packet["buy_count"] + packet["sell_count"])
        for i, row in enumerate(tape.levels[begin : begin + count]):
            side = 1 if i < packet["buy_count"] else -1
            found.append((int(packet["ts_local_ns"]), side, int(row["price_ticks"]), int(row["lots"])))
    return found


def left_in(catalog: Path) -> list[str]:
    return sorted(path.relative_to(catalog).as_posix() for path in catalog.rglob("*"))


def refusal(format_name: str, paths: list[Path], catalog: Path) -> str:
    """Why an import is refused; nothing is left of it, and it says what to do."""
    with pytest.raises(UserError) as refused:
        import_paths(format_name, paths, catalog)
    assert refused.value.hint
    assert refused.value.exit_code == ExitCode.DATA
    assert not catalog.exists() or left_in(catalog) == []
    return refused.value.message


def lines(path: Path, *rows: str) -> Path:
    """A text file, packed as its name says."""
    text = "".join(f"{row}\n" for row in rows).encode()
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(path.with_suffix(".csv").name, text)
    else:
        path.write_bytes(gzip.compress(text, 1) if path.suffix == ".gz" else text)
    return path


Event = tuple[int, float, float, float, float]  # flags and kind, sent and received in ms, price, size


def events(*rows: Event) -> Any:
    array = np.zeros(len(rows), EVENT)
    for event, (ev, sent_ms, received_ms, price, size) in zip(array, rows, strict=True):
        event["ev"], event["px"], event["qty"] = ev, price, size
        event["exch_ts"], event["local_ts"] = START_NS + int(sent_ms * 1e6), START_NS + int(received_ms * 1e6)
    return array


def npz(path: Path, array: Any) -> Path:
    np.savez_compressed(path, data=array)
    return path
