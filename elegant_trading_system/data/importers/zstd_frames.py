"""Whether a zstd file ends where it should: Databento's library stops without a word where a file was cut off.

The layout is RFC 8878's. Nothing is unpacked: each block says how long it is.
"""

import os
from pathlib import Path
from typing import IO

MAGIC = b"\x28\xb5\x2f\xfd"
DICTIONARY_BYTES = (0, 1, 2, 4)
CONTENT_SIZE_BYTES = (0, 2, 4, 8)
CHECKSUM_BYTES = 4
RLE = 1  # a block of one byte, repeated


def is_zstd(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == MAGIC


def is_complete(path: Path) -> bool:
    """True for what is no zstd file at all."""
    if not is_zstd(path):
        return True
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        while file.tell() < size:
            if not _skip_frame(file):
                return False
        return file.tell() == size


def _skip_frame(file: IO[bytes]) -> bool:
    """Go behind the next frame; False if it is cut off within a header."""
    magic = file.read(4)
    if magic != MAGIC:  # one that holds nothing, or junk: the length follows either way
        return _skip(file, file.read(4))
    descriptor = file.read(1)
    if not descriptor:
        return False
    is_single, has_checksum = descriptor[0] >> 5 & 1, descriptor[0] >> 2 & 1
    content = CONTENT_SIZE_BYTES[descriptor[0] >> 6] or is_single
    file.seek(1 - is_single + DICTIONARY_BYTES[descriptor[0] & 3] + content, os.SEEK_CUR)
    is_last = 0
    while not is_last:
        header = file.read(3)
        if len(header) < 3:
            return False
        number = int.from_bytes(header, "little")
        is_last, kind, length = number & 1, number >> 1 & 3, number >> 3
        file.seek(1 if kind == RLE else length, os.SEEK_CUR)
    file.seek(CHECKSUM_BYTES * has_checksum, os.SEEK_CUR)
    return True


def _skip(file: IO[bytes], length: bytes) -> bool:
    file.seek(int.from_bytes(length, "little"), os.SEEK_CUR)
    return len(length) == 4
