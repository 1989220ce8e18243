"""Importers: one module per vendor format, all writing the one tape layout.

To add a format: a module with `read(paths, open_writer, progress)` that fills and finishes a tape per listing,
and a line in FORMATS.
"""

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...errors import ExitCode, UserError
from ..tape import ListingSpec, Tape, TapeFacts, TapeWriter, discard_stale_partials, publish_all, tape_path
from ..warmup import is_history
from . import bars, binance_capture, binance_vision, bitstamp, databento, hftbacktest, lobster, tardis, volatility
from .said import Said

Progress = Callable[[str, float], None]
Reader = Callable[..., None]  # (paths, open_writer, progress), and said where the format takes it


class Format(NamedTuple):
    """A vendor format: how it is read, and which files of a folder are meant by naming the folder."""

    read: Reader
    patterns: tuple[str, ...]
    is_meant: Callable[[Path], bool] = lambda _path: True  # of those the patterns find
    takes_said: bool = False


FORMATS: dict[str, Format] = {
    "bars": Format(bars.read, bars.PATTERNS, bars.is_meant, takes_said=True),
    "binance-capture": Format(binance_capture.read, ("*.gz",)),
    "binance-vision": Format(binance_vision.read, ("*.zip",)),
    "bitstamp": Format(bitstamp.read, bitstamp.PATTERNS),
    "databento": Format(databento.read, ("*.dbn", "*.dbn.zst")),
    "hftbacktest": Format(hftbacktest.read, ("*.npz",)),
    "lobster": Format(lobster.read, ("*.zip", "*_message_*.csv*", "*_orderbook_*.csv*")),
    "tardis": Format(tardis.read, ("*.csv", "*.csv.gz")),
    "volatility": Format(volatility.read, volatility.PATTERNS, volatility.is_meant),
}


def import_paths(
    format_name: str,
    paths: list[Path],
    catalog: Path,
    progress: Callable[[str, float], None] | None = None,
    said: Said | None = None,
) -> list[TapeFacts]:
    """Import files and folders of files as one recording; the facts of its tapes, in listing order.

    `said` is what the person says about files that do not say it themselves. All tapes appear in the catalog
    together, or, by UserError, none. Recordings the catalog already holds are left as they are if the same, refused
    if they overlap.
    """
    if format_name not in FORMATS:
        raise UserError(
            f"unknown format {format_name!r}", f"known formats: {', '.join(sorted(FORMATS))}", ExitCode.USAGE
        )
    read = _reader(format_name, said or Said())
    files = _files(paths, FORMATS[format_name])
    try:
        return _imported(format_name, read, files, catalog, progress or _silent)
    except OSError as error:
        raise UserError(f"{error.filename or catalog}: {error.strerror}", "check space and permissions") from error


def _reader(format_name: str, said: Said) -> Reader:
    if said == Said():
        return FORMATS[format_name].read
    if not FORMATS[format_name].takes_said:
        raise UserError(
            f"files of format {format_name} say themselves what they hold",
            "leave --as, --stamps and --timezone out",
            ExitCode.USAGE,
        )
    said.check()
    return partial(FORMATS[format_name].read, said=said)


def _imported(format_name: str, read: Reader, files: list[Path], catalog: Path, progress: Progress) -> list[TapeFacts]:
    catalog.mkdir(parents=True, exist_ok=True)
    discard_stale_partials(catalog)
    with ExitStack() as stack:
        writers: list[TapeWriter] = []

        def open_writer(spec: ListingSpec) -> TapeWriter:
            writers.append(stack.enter_context(TapeWriter(catalog, spec, format_name)))
            return writers[-1]

        read(files, open_writer, progress)
        there = [_same_in(catalog, writer) for writer in writers]
        fresh = [writer for writer, same in zip(writers, there, strict=True) if same is None]
        publish_all(fresh)
    for same in filter(None, there):
        progress(f"{same.facts.listing.name}: already there", 1.0)
    progress(f"{len(fresh)} tapes imported", 1.0)
    return [writer.facts if same is None else same.facts for writer, same in zip(writers, there, strict=True)]


def _silent(_text: str, _share: float) -> None:
    """For callers that do not want to know."""


def _files(paths: list[Path], of_format: Format) -> list[Path]:
    """Every file named, or lying in a folder named and meant by the format; once each."""
    files: list[Path] = []
    for path in paths:
        if not path.exists():
            raise UserError(f"{path}: no such file or folder", "check the path")
        files.extend(_inside(path, of_format) if path.is_dir() else [path])
    if not files:
        raise UserError("no files to import", "name files or a folder of recordings")
    return list({file.resolve(): file for file in files}.values())


def _inside(folder: Path, of_format: Format) -> list[Path]:
    patterns = of_format.patterns
    inside = sorted({found for pattern in patterns for found in folder.glob(pattern) if of_format.is_meant(found)})
    if not inside:
        raise UserError(f"{folder}: no {' or '.join(patterns)} files in this folder", "name a folder of recordings")
    return inside


def _same_in(catalog: Path, writer: TapeWriter) -> Tape | None:
    """The catalog's tape of this very recording; UserError if it holds another of the same listing and time."""
    facts = writer.facts
    for path in sorted((catalog / tape_path(facts)).parent.glob("*/tape.json")):
        other = Tape(path.parent)
        if is_history(other) != is_history(Tape(writer.partial)):
            continue  # bars may cover the time of a recording
        if other.facts.ts_first_ns > facts.ts_last_ns or facts.ts_first_ns > other.facts.ts_last_ns:
            continue
        if _is_same(other, Tape(writer.partial)):
            return other
        message = f"{', '.join(facts.source_files)}: overlaps {path.parent} of {facts.listing.name}"
        raise UserError(message, "remove that folder first, or import into another catalog")
    return None


def _is_same(there: Tape, new: Tape) -> bool:
    """Equal but for the clock correction, which depends on what else was imported with them."""
    if (there.facts.packets, there.facts.levels) != (new.facts.packets, new.facts.levels):
        return False
    packets = new.packets
    packets["ts_venue_ns"] += there.facts.quality.clock_offset_ns - new.facts.quality.clock_offset_ns
    pairs = ((there.packets, packets), (there.levels, new.levels))
    return all(np.array_equal(one.view(np.uint8), other.view(np.uint8)) for one, other in pairs)
