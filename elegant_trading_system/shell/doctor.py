"""Is this machine fit to trade from? Each check says what was found and what to do about it."""

import importlib.metadata
import math
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Literal, NamedTuple

Result = Literal["ok", "warn", "fail", "skipped"]

PYTHON_MIN = (3, 11)
DISK_LOW, DISK_FULL = 5 << 30, 200 << 20  # bytes: a day of recording; a few segments of a journal
CLOCK_SAMPLES = 2_000
LIBRARIES = ("numpy", "numba", "polars", "pydantic", "msgspec", "aiohttp", "cryptography")
KEY_LENGTHS = {"BINANCE_API_KEY": 64, "BINANCE_SECRET": 64}
PEM = "-----BEGIN"


class Finding(NamedTuple):
    """One check."""

    name: str
    result: Result
    found: str
    advice: str = ""


def passes(findings: list[Finding]) -> bool:
    return all(finding.result != "fail" for finding in findings)


# --- the machine ------------------------------------------------------------------------------------------------
def machine(folder: Path) -> list[Finding]:
    """What needs no network; `folder` is where runs are kept."""
    return [_python(), _libraries(), _cores(), _compiled(), clock(), *_disk(folder)]


def _python() -> Finding:
    version = platform.python_version()
    if tuple(int(part) for part in version.split(".")[:2]) < PYTHON_MIN:
        return Finding("python", "fail", version, "3.11 or newer is needed: make PYTHON=python3.12 setup")
    return Finding("python", "ok", f"{version} on {platform.system()} {platform.machine()}")


def _libraries() -> Finding:
    found, missing = [], []
    for name in LIBRARIES:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        return Finding("libraries", "fail", f"missing: {', '.join(missing)}", "pip install -r requirements.txt")
    return Finding("libraries", "ok", ", ".join(found))


def _cores() -> Finding:
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if count < 2:
        return Finding("cores", "warn", "1", "whatever else runs here delays every decision")
    return Finding("cores", "ok", str(count))


def _compiled() -> Finding:
    from ..core.jit import CACHE_DIR, is_compiled

    if is_compiled():
        return Finding("compiled engine", "ok", f"in {CACHE_DIR}")
    return Finding("compiled engine", "warn", "not yet", "the first run compiles it, which takes a minute or two")


def clock() -> Finding:
    """Does this machine's clock go forward, and in small steps?"""
    walls = [time.time_ns() for _ in range(CLOCK_SAMPLES)]
    steps = [later - earlier for earlier, later in pairwise(walls)]
    step_ns = min((step for step in steps if step > 0), default=0)
    if min(steps) < 0:
        return Finding("clock", "fail", f"went back by {-min(steps):,} ns", "let a time service slew it, never step it")
    if step_ns == 0 or step_ns > 1_000_000:
        return Finding(
            "clock", "warn", f"moves in steps of {step_ns / 1e6:.1f} ms", "stamps will be no finer than that"
        )
    return Finding("clock", "ok", f"goes forward in steps of {step_ns:,} ns")


def _disk(folder: Path) -> list[Finding]:
    there = next(path for path in (folder, *folder.absolute().parents) if path.is_dir())
    free = shutil.disk_usage(there).free
    shown = f"{free / (1 << 30):,.1f} GB free at {there}"
    if free < DISK_FULL:
        space = Finding("disk space", "fail", shown, "make room: a run ends when its journal cannot grow")
    elif free < DISK_LOW:
        space = Finding("disk space", "warn", shown, "a day of a busy market is several GB")
    else:
        space = Finding("disk space", "ok", shown)
    try:
        with tempfile.NamedTemporaryFile(dir=there) as file:
            file.write(b"x" * 4096)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return [space, Finding("run folder", "fail", f"{there}: {error.strerror}", "give --out a folder of yours")]
    return [space, Finding("run folder", "ok", f"{there} can be written")]


# --- keys -------------------------------------------------------------------------------------------------------
def keys(environ: Mapping[str, str]) -> list[Finding]:
    """Whether they are there and look like keys; they are never shown."""
    return [
        *_pair("BINANCE_API_KEY", "BINANCE_SECRET", environ),
        *_pair("COINBASE_API_KEY", "COINBASE_SECRET", environ),
    ]


def _pair(key: str, secret: str, environ: Mapping[str, str]) -> list[Finding]:
    findings = [_key(name, environ.get(name, "")) for name in (key, secret)]
    if {finding.found for finding in findings} == {"set", "not set"}:
        return [
            finding._replace(result="fail", advice=f"set {key} and {secret}, or neither")
            if finding.result == "skipped"
            else finding
            for finding in findings
        ]
    return findings


def _key(name: str, value: str) -> Finding:
    if not value:
        return Finding(name, "skipped", "not set", "only real money and testnets need it")
    wrong = malformed(name, value)
    return (
        Finding(name, "fail", f"malformed: {wrong}", "copy it again, without quotes")
        if wrong
        else Finding(name, "ok", "set")
    )


def malformed(name: str, value: str) -> str:
    """Why it cannot be what it is called; empty if it can. Says nothing of the value but its length and shape."""
    if value != value.strip() or value[:1] in "\"'":
        return "blanks or quotes around it"
    if name.startswith("BINANCE"):
        if PEM in value:
            return "" if name == "BINANCE_SECRET" else "a private key where the key's name belongs"
        return (
            "" if len(value) == 64 and value.isalnum() else f"{len(value)} characters, a key has 64 letters and digits"
        )
    if name == "COINBASE_API_KEY":
        is_name = value.startswith("organizations/") and "/apiKeys/" in value
        return "" if is_name or _is_uuid(value) else "neither organizations/.../apiKeys/... nor a UUID"
    text = value.replace("\\n", "\n")
    return (
        ""
        if (PEM in text and "PRIVATE KEY" in text) or _is_seed(text)
        else "neither a private key in PEM nor 32 bytes in base64"
    )


def _is_uuid(value: str) -> bool:
    return len(value) == 36 and value.replace("-", "").isalnum()


def _is_seed(value: str) -> bool:
    """Base64 of 32 or 64 bytes."""
    return len(value) in (4 * math.ceil(32 / 3), 4 * math.ceil(64 / 3))
