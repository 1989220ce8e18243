"""Event arrays of hftbacktest 2: what their flags mean, and how they are read from and written to `.npz` files.

The layout is that of `hftbacktest.types.event_dtype`, 64 bytes a row.
"""

import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from ...errors import UserError
from ..decimals import Array

EVENT = np.dtype(
    [
        ("ev", "u8"),
        ("exch_ts", "i8"),
        ("local_ts", "i8"),
        ("px", "f8"),
        ("qty", "f8"),
        ("order_id", "u8"),
        ("ival", "i8"),
        ("fval", "f8"),
    ]
)
DEPTH, TRADE, CLEAR, SNAPSHOT = 1, 2, 3, 4
ORDER_FIRST, ORDER_LAST = 10, 13  # single orders: add, cancel, modify, fill
MARK = 110  # ours: a packet without rows; ival is its part, fval its kind and code. hftbacktest passes over it
MARK_KIND = 256  # fval of a mark is its kind times this, plus its code
EXCH, LOCAL, BUY, SELL = 1 << 31, 1 << 30, 1 << 29, 1 << 28
KIND_MASK = 0xFF
NPY: Any = np.lib.format  # has no types
BATCH_EVENTS = 1 << 17
HINT = "hftbacktest 2 event arrays are read: `data` in an .npz, 64 bytes a row"


def batches(path: Path) -> Iterator[Array]:
    """The file's events, a batch at a time; UserError for what is no such file."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open(_member(path, archive)) as file:
            count = _row_count(path, file)
            for at in range(0, count, BATCH_EVENTS):
                wanted = min(BATCH_EVENTS, count - at) * EVENT.itemsize
                data = file.read(wanted)
                if len(data) < wanted:
                    raise UserError(f"{path}:{at + len(data) // EVENT.itemsize + 1}: ends early", "fetch it again")
                yield np.frombuffer(data, EVENT)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise UserError(f"{path}: truncated or damaged: {error}", "fetch the file again") from None
    except (NotImplementedError, RuntimeError) as error:  # packed by an unknown method, or with a password
        raise UserError(f"{path}: {error}", HINT) from None


def _member(path: Path, archive: zipfile.ZipFile) -> str:
    names = archive.namelist()
    if "data.npy" in names:
        return "data.npy"
    if len(names) == 1:
        return names[0]
    raise UserError(f"{path}: no array named `data` in it", HINT)


def _row_count(path: Path, file: IO[bytes]) -> int:
    try:
        version = NPY.read_magic(file)
        read = NPY.read_array_header_1_0 if version == (1, 0) else NPY.read_array_header_2_0
        shape, _, dtype = read(file)
    except ValueError as error:
        raise UserError(f"{path}: not a NumPy array: {error}", HINT) from None
    if dtype.names is None and len(shape) == 2:
        message = f"{path}: columns of hftbacktest 1"
        raise UserError(message, "convert it with hftbacktest.data.utils.migration2 first")
    if dtype.names != EVENT.names or dtype.itemsize != EVENT.itemsize or len(shape) != 1:
        raise UserError(f"{path}: array of {dtype} {shape}", HINT)
    return int(shape[0])


def write(path: Path, chunks: Iterator[Array], count: int) -> None:
    """Write events as numpy.savez_compressed would, without holding them all."""
    header = {"descr": NPY.dtype_to_descr(EVENT), "fortran_order": False, "shape": (count,)}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        stamp = zipfile.ZipInfo("data.npy")  # of 1980: the same events are the same file
        stamp.compress_type = zipfile.ZIP_DEFLATED
        with archive.open(stamp, "w", force_zip64=True) as file:
            NPY.write_array_header_1_0(file, header)
            for chunk in chunks:
                file.write(chunk.tobytes())
