"""Fetched files into a catalog: what was made of fewer of them gives way to what is made of all."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from ..importers import import_paths
from ..tape import Tape, TapeFacts, tape_path

Progress = Callable[[str, float], None]


def import_fetched(format_name: str, files: list[Path], catalog: Path, progress: Progress) -> list[TapeFacts]:
    """The facts of the tapes. Tapes of the same format and listing that a new one holds whole in time give way to it.

    No other tape is touched: if it overlaps, importing is refused as ever.
    """
    catalog.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetched-", dir=catalog) as scratch:
        new = import_paths(format_name, files, Path(scratch), progress)
        replaced = [old for facts in new for old in _contained(catalog, facts)]
        for tape in replaced:
            shutil.rmtree(tape.folder)
    # A crash between the two costs a tape whose files are all here: the command makes it again.
    return import_paths(format_name, files, catalog, progress)


def _contained(catalog: Path, new: TapeFacts) -> list[Tape]:
    """Tapes that the new one holds whole."""
    folder = (catalog / tape_path(new)).parent
    tapes = [Tape(path.parent) for path in sorted(folder.glob("*/tape.json"))]
    return [
        tape
        for tape in tapes
        if tape.facts.source == new.source
        and tape.facts.digest != new.digest
        and new.ts_first_ns <= tape.facts.ts_first_ns
        and tape.facts.ts_last_ns <= new.ts_last_ns
    ]
