"""Chance for the simulated market: xoshiro256+ whose whole state is one record.

Unsigned overflow warns in uncompiled NumPy, so the one addition is done without carrying out of the top bit:
compiled and uncompiled draw the same bits. Constants are `np.uint64`, for Numba turns a mixed operation into a float.
"""

import hashlib
import math
from typing import Any

import numpy as np

from ..core.jit import kernel
from ..core.schema import record

RANDOM = record([("bits", "u8", (4,)), ("spare_normal", "f8"), ("has_spare", "i8")])

_LOW = np.uint64(2**63 - 1)
_TOP = np.uint64(2**63)
_R11, _L17, _L45, _R19 = np.uint64(11), np.uint64(17), np.uint64(45), np.uint64(19)
_ULP = 2.0**-53


def seed_random(random: Any, *names: object) -> None:
    """One independent stream per tuple of names: 256 bits of their SHA-256."""
    digest = hashlib.sha256("/".join(map(str, names)).encode()).digest()
    random.bits[:] = np.frombuffer(digest, "<u8")
    random.has_spare = 0


@kernel
def draw_uniform(random):
    """53 random bits, in [0, 1)."""
    a, b, c, d = random.bits[0], random.bits[1], random.bits[2], random.bits[3]
    total = ((a & _LOW) + (d & _LOW)) ^ ((a ^ d) & _TOP)
    shifted = b << _L17
    c ^= a
    d ^= b
    random.bits[1] = b ^ c
    random.bits[0] = a ^ d
    random.bits[2] = c ^ shifted
    random.bits[3] = (d << _L45) | (d >> _R19)
    return np.int64(total >> _R11) * _ULP


@kernel
def draw_exponential(random):
    """Mean 1."""
    return -math.log(1.0 - draw_uniform(random))


@kernel
def draw_normal(random):
    """Marsaglia's polar method; the second of each pair waits in the state."""
    if random.has_spare:
        random.has_spare = 0
        return random.spare_normal
    square = 0.0
    while square >= 1.0 or square == 0.0:
        x = 2.0 * draw_uniform(random) - 1.0
        y = 2.0 * draw_uniform(random) - 1.0
        square = x * x + y * y
    scale = math.sqrt(-2.0 * math.log(square) / square)
    random.spare_normal = y * scale
    random.has_spare = 1
    return x * scale
