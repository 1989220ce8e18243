"""The one place that knows Numba's flags.

Numba's disk cache does not notice edits in *other* files (numba#1833): an edited signal_engine.py would
silently run the old strategy. So the cache directory is keyed by a digest of every compiled source file.

`fastmath` stays off and core uses `math.*` only, so that a compiled run equals an uncompiled one bit for bit.
"""

import hashlib
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numba
from llvmlite import ir
from numba.extending import intrinsic
from platformdirs import user_cache_path

_PACKAGE = Path(__file__).parent.parent
_OTHERS = "data/decimals.py", "data/merge.py", "data/verify.py", "shell/arbiter.py", "shell/binance/scan.py"
SOURCES = sorted([*_PACKAGE.glob("core/*.py"), *_PACKAGE.glob("sim/*.py"), *(_PACKAGE / name for name in _OTHERS)])
_CACHE_ROOT = Path(os.environ.get("ETS_CACHE_DIR") or user_cache_path("elegant-trading-system") / "compiled")


def _digest(paths: list[Path]) -> str:
    return hashlib.sha256(b"".join(p.name.encode() + p.read_bytes() for p in paths)).hexdigest()


#: Which code traded: printed in every run's manifest.
SOURCE_DIGEST = _digest(SOURCES)
#: Tests call single kernels from Python; a run never does, and without those wrappers compiling takes a fifth less.
IS_CALLABLE = os.environ.get("ETS_CALLABLE_KERNELS") == "1"
_SUFFIX = "-callable" if IS_CALLABLE else ""
CACHE_DIR = _CACHE_ROOT / f"{SOURCE_DIGEST[:16]}{_SUFFIX}"
numba.config.CACHE_DIR = str(CACHE_DIR)


def is_compiled() -> bool:
    """Has this code been compiled on this machine before?"""
    return any(CACHE_DIR.rglob("*.nbc"))


# Without Numba's reference counting (_nrt=False) an array that is passed, sliced or unpacked costs nothing; with it,
# two atomic operations each: four fifths of a run. It also makes the compiler refuse whatever allocates, which is what
# a hot path wants to hear. Without the wrapper for C callers, which nobody uses, compiling takes a seventh less.
_COMMON = {"cache": True, "error_model": "numpy", "fastmath": False}

_INNER = {"no_cfunc_wrapper": True, "no_cpython_wrapper": not IS_CALLABLE}

kernel = numba.njit(forceinline=True, _nrt=False, **_INNER, **_COMMON)
"""For functions called per event from compiled code: inlined into their caller; may not allocate."""

routine = numba.njit(_nrt=False, **_INNER, **_COMMON)
"""For functions called rarely from compiled code: kept out of line, so that compiling stays cheap; may not allocate."""

allocating = numba.njit(_nrt=True, **_INNER, **_COMMON)
"""A routine that needs room of its own: each call counts references, so only where an order is being made."""

part = numba.njit(inline="always", _nrt=True, **_INNER, **_COMMON)
"""For functions called from one place and only split off to be read: Numba copies them into their caller before
compiling. Every function compiled by itself is linked and optimised with all it calls, so each link of a chain
costs once more what lies below it."""

entry = numba.njit(nogil=True, _nrt=False, **_COMMON)
"""For functions called from Python with a slice of tape; may not allocate."""

brief = numba.njit(_nrt=False, **_COMMON)
"""An entry for a microsecond's work. It keeps the interpreter's lock: who lets it go that often waits each time for a
thread that has taken it: ten microseconds instead of three while a segment is packed."""

loader = numba.njit(nogil=True, **_COMMON)
"""For functions called from Python that make arrays."""


def direct(function: Any, *arguments: Any) -> Any:
    """The compiled form of an entry for arguments of exactly these types.

    Asking for the types of a dozen records costs a microsecond a call, five times what handing them over does. Nothing
    asks here: only for callers whose arguments are of the same types for ever.
    """
    if numba.config.DISABLE_JIT:
        return function
    signature = tuple(numba.typeof(argument) for argument in arguments)
    function.compile(signature)
    return function.overloads[signature].entry_point


@intrinsic
def _bit_length(_context: Any, word: Any) -> Any:
    def emit(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        bits = arguments[0].type.width
        zeros = builder.ctlz(arguments[0], ir.Constant(ir.IntType(1), 0))
        return builder.sub(ir.Constant(arguments[0].type, bits), zeros)

    return word(word), emit


@intrinsic
def _bit_count(_context: Any, word: Any) -> Any:
    return word(word), lambda _target, builder, _signature, arguments: builder.ctpop(arguments[0])


@intrinsic
def _in_order(_context: Any) -> Any:
    def emit(_target: Any, builder: Any, _signature: Any, _arguments: Any) -> Any:
        builder.fence("release")
        return _target.get_dummy_value()

    return numba.void(), emit


def _in_any_order() -> None:
    """Uncompiled, statements are in order anyway."""


def _bit_length_of_int(word: int) -> int:
    return int(word).bit_length()


def _bit_count_of_int(word: int) -> int:
    return int(word).bit_count()


bit_length = _bit_length_of_int if numba.config.DISABLE_JIT else _bit_length
"""`int.bit_length`, for which Numba has no name: one instruction instead of a search."""

in_order = _in_any_order if numba.config.DISABLE_JIT else _in_order
"""What is stored before it is stored before what is stored after it, for whoever reads the memory when we are dead."""

bit_count = _bit_count_of_int if numba.config.DISABLE_JIT else _bit_count
"""`int.bit_count` of a word >= 0, likewise."""


def instantiate(module_name: str, alias: str, **overrides: object) -> ModuleType:
    """Load a second copy of a compiled module with some of its globals replaced (another decider, say).

    The copy lives beside the original, so that its relative imports work. Its cache directory is keyed by what
    replaces its globals, down to the last file: Numba's own key, file and function name, is the original's.
    """
    name = f"{module_name.rpartition('.')[0]}.{alias}"
    original = importlib.util.find_spec(module_name)
    assert original is not None and original.origin is not None, module_name
    spec = importlib.util.spec_from_file_location(name, original.origin)
    assert spec is not None and spec.loader is not None, module_name
    module = importlib.util.module_from_spec(spec)
    module.__dict__.update(overrides)
    identity = [f"{key}={_identity(value)}" for key, value in sorted(overrides.items())]
    key = hashlib.sha256("\n".join([SOURCE_DIGEST, _digest([Path(original.origin)]), *identity]).encode()).hexdigest()
    module.__dict__["instance_digest"] = key
    sys.modules[name] = module
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(_CACHE_ROOT / f"{key[:16]}{_SUFFIX}")
    try:
        spec.loader.exec_module(module)
    finally:
        numba.config.CACHE_DIR = before
    return module


def _identity(value: object) -> str:
    """What a replaced global is made of: a copy's own digest, another module's source, a plain value."""
    if isinstance(value, ModuleType):
        known = value.__dict__.get("instance_digest")
        return str(known) if known is not None else _digest([Path(str(value.__file__))])
    return repr(value)
