"""Stamps of bars to the UTC nanosecond each bar starts: units by magnitude, ISO text, zones, start or end."""

from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

from ...core.schema import NS_PER_S
from ...errors import ExitCode, UserError
from ..decimals import Array
from .bars_table import Table
from .said import Said

NS_PER_MINUTE = 60 * NS_PER_S
UNITS = (("seconds", NS_PER_S), ("milliseconds", 10**6), ("microseconds", 10**3), ("nanoseconds", 1))
NS_OF = {"ns": 1, "us": 10**3, "ms": 10**6}
NS_PER_DAY = 86_400 * NS_PER_S
SECONDS_MIN, SECONDS_MAX = 10**8, 4 * 10**9  # 1973 to 2096: the units' ranges do not meet
NEW_YORK = "America/New_York"
SESSION_OPEN, SESSION_CLOSE = "09:30", "16:00"  # New York
UNIT_HINT = "times are seconds, milliseconds, microseconds or nanoseconds since 1970, or ISO 8601"
STAMPS_HINT = "say it with --stamps start or --stamps end"


class Clock(NamedTuple):
    """How the stamps of a listing's files are to be read."""

    zone: str  # of stamps that name none
    is_session: bool  # a market with opening hours, which tell start from end


def minute_starts_ns(table: Table, clock: Clock, said: Said) -> Array:
    """When each bar started; the file may run either way in time, but one way only."""
    ts_ns = _utc_ns(table, _zone(said.timezone or clock.zone))
    is_far = (ts_ns < SECONDS_MIN * NS_PER_S) | (ts_ns >= SECONDS_MAX * NS_PER_S)
    _refuse(table, is_far, "time is not between 1973 and 2096", UNIT_HINT)
    _refuse(table, ts_ns % NS_PER_MINUTE != 0, "time is not on a whole minute", "minute bars are read, nothing else")
    if _is_end(table, ts_ns, clock, said):
        ts_ns = ts_ns - NS_PER_MINUTE
    steps = np.diff(ts_ns)
    backwards = steps < 0 if ts_ns[-1] >= ts_ns[0] else steps > 0
    _refuse(table, np.append(False, backwards), "time turns back", "rows must be in the order of time, either way")
    return ts_ns


def _zone(name: str) -> str:
    try:
        return ZoneInfo(name).key
    except (KeyError, ValueError, OSError):
        raise UserError(f"unknown time zone {name!r}", "for example: America/New_York, UTC", ExitCode.USAGE) from None


def _refuse(table: Table, is_bad: Array, reason: str, hint: str) -> None:
    if is_bad.any():
        row = int(np.flatnonzero(is_bad)[0])
        is_plain = table.stamps.dtype == pl.String or table.stamps.dtype.is_numeric()
        shown = table.stamps[row] if is_plain else table.stamps.to_physical()[row]
        raise table.refused(row, f"{reason}: {shown}", hint)


def _utc_ns(table: Table, zone: str) -> Array:
    stamps = table.stamps
    if stamps.dtype == pl.String:
        numbers = stamps.str.strip_chars().cast(pl.Int64, strict=False)
        if numbers[0] is not None:
            return _from_numbers(table, numbers)
        stamps = _from_text(stamps, zone)
    elif stamps.dtype.is_numeric():
        return _from_numbers(table, stamps.cast(pl.Int64, strict=False))
    elif isinstance(stamps.dtype, pl.Date | pl.Datetime):
        stamps = _to_utc(_in_ns(stamps), zone)
    else:
        raise table.refused(0, f"not a time: {stamps[0]!r}", UNIT_HINT)
    hint = f"{UNIT_HINT}; a local time that clocks repeat or leave out says no moment"
    _refuse(table, stamps.is_null().to_numpy(), "not a time", hint)
    return stamps.dt.epoch("ns").to_numpy()


def _in_ns(stamps: pl.Series) -> pl.Series:
    """Dates and datetimes of any unit; null where nanoseconds do not reach: Polars would panic."""
    ns = NS_PER_DAY if isinstance(stamps.dtype, pl.Date) else NS_OF[getattr(stamps.dtype, "time_unit", "")]
    counts = stamps.to_physical().cast(pl.Int64)
    is_near = counts.is_between(0, SECONDS_MAX * NS_PER_S // ns)
    zone = getattr(stamps.dtype, "time_zone", None)
    return (counts.set(~is_near, None) * ns).cast(pl.Datetime("ns", zone))


def _from_numbers(table: Table, numbers: pl.Series) -> Array:
    _refuse(table, numbers.is_null().to_numpy(), "not a time", UNIT_HINT)
    values = numbers.to_numpy()
    units = np.zeros(len(values), np.int64)  # ns per unit; 0 = none fits
    for _, ns in UNITS:
        scale = NS_PER_S // ns
        units[(values >= SECONDS_MIN * scale) & (values < SECONDS_MAX * scale)] = ns
    _refuse(table, units == 0, "not a time", UNIT_HINT)
    names = {ns: name for name, ns in UNITS}
    other = units != units[0]
    if other.any():
        mixed = f"{names[int(units[other][0])]} in a file that begins with {names[int(units[0])]}"
        _refuse(table, other, mixed, "the file is pieced together: split it by unit, or fetch it again")
    return values * units


def _from_text(stamps: pl.Series, zone: str) -> pl.Series:
    """ISO 8601 with a space or a T, with or without seconds and offset; null where it is something else."""
    text = stamps.str.strip_chars().str.replace("T", " ").str.replace("Z$", "+0000").str.replace(r"\+00:00$", "+0000")
    text = text.str.replace(r"^(.{10} \d\d:\d\d)($|\+)", "${1}:00${2}")
    if text.str.contains(r"[+-]\d\d:?\d\d$").all():
        return text.str.to_datetime("%Y-%m-%d %H:%M:%S%.f%z", time_unit="ns", strict=False)
    return _to_utc(text.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit="ns", strict=False), zone)


def _to_utc(stamps: pl.Series, zone: str) -> pl.Series:
    if getattr(stamps.dtype, "time_zone", None) is None:
        stamps = stamps.dt.replace_time_zone(zone, ambiguous="null", non_existent="null")
    return stamps.dt.convert_time_zone("UTC")


def _is_end(table: Table, ts_ns: Array, clock: Clock, said: Said) -> bool:
    """What the person says; else what the column is called; else, with opening hours, what the session shows.

    A regular session's first minute starts at 09:30 and its last one ends at 16:00: stamps hold the one or the other.
    Where markets never close nothing can show it, and every public source stamps the start.
    """
    if said.stamps or table.is_end or not clock.is_session:
        return said.stamps == "end" or (table.is_end and not said.stamps)
    local = pl.Series(ts_ns).cast(pl.Datetime("ns", "UTC")).dt.convert_time_zone(NEW_YORK).dt.strftime("%H:%M")
    has_open, has_close = (bool((local == at).any()) for at in (SESSION_OPEN, SESSION_CLOSE))
    if has_open == has_close:
        told = "both" if has_open else "neither"
        message = f"{table.path}: start or end of its minutes? It has {told} of 09:30 and 16:00 New York"
        raise UserError(message, STAMPS_HINT)
    return has_close
