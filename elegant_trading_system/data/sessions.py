"""Opening hours of markets that close, by the library exchange-calendars: SESSION packets beside the tapes."""

import warnings
from importlib import import_module
from typing import Any

import numpy as np

from ..core.kinds import Kind, SessionState
from ..core.schema import PACKET
from ..errors import UserError
from .decimals import Array
from .merge import Merged
from .tape import ListingSpec

DAY_NS = 86_400 * 10**9


def with_sessions(merged: Merged) -> Merged:
    """The market with its openings and closings; itself where every listing is always open."""
    if not any(listing.calendar for listing in merged.listings) or len(merged.packets) == 0:
        return merged
    stamps = merged.packets["ts_local_ns"]
    sessions = session_packets(merged.listings, int(stamps[0]), int(stamps[-1]))
    at = np.searchsorted(stamps, sessions["ts_local_ns"])
    truth = None if merged.truth is None else np.insert(merged.truth, at, np.nan)
    return merged._replace(packets=np.insert(merged.packets, at, sessions), truth=truth)


def session_packets(listings: list[ListingSpec], first_ns: int, last_ns: int) -> Array:
    """Every opening and closing of the listings' markets within the span, after the state it begins in.

    `listing_id` is the index into listings; an OPEN packet carries the UTC ns of its session's end in `atoms`.
    """
    rows = []
    for listing_id, listing in enumerate(listings):
        if listing.calendar:
            rows += [(ns, listing_id, state, end) for ns, state, end in _turns(listing, first_ns, last_ns)]
    packets = np.zeros(len(rows), PACKET)
    for packet, (ns, listing_id, state, end_ns) in zip(packets, sorted(rows), strict=True):
        packet["ts_local_ns"] = packet["ts_venue_ns"] = ns
        packet["listing_id"], packet["kind"], packet["code"], packet["atoms"] = listing_id, Kind.SESSION, state, end_ns
    return packets


def _turns(listing: ListingSpec, first_ns: int, last_ns: int) -> list[tuple[int, SessionState, int]]:
    opens, closes = _hours(listing, first_ns, last_ns)
    turns: list[tuple[int, SessionState, int]] = []
    for open_ns, close_ns in zip(opens, closes, strict=True):
        turns += [(open_ns, SessionState.OPEN, close_ns), (close_ns, SessionState.CLOSED, 0)]
    before = [turn for turn in turns if turn[0] <= first_ns]
    state = before[-1] if before else (first_ns, SessionState.CLOSED, 0)
    return [(first_ns, *state[1:])] + [turn for turn in turns if first_ns < turn[0] <= last_ns]


def _hours(listing: ListingSpec, first_ns: int, last_ns: int) -> tuple[list[int], list[int]]:
    """Openings and closings of the sessions around the span, UTC ns."""
    try:
        calendars: Any = import_module("exchange_calendars")
    except ImportError as error:
        message = f"{listing.name}: its opening hours need the library exchange-calendars"
        raise UserError(message, "pip install 'elegant-trading-system[equities]'") from error
    days = np.array([first_ns - 7 * DAY_NS, last_ns + 7 * DAY_NS]).astype("datetime64[ns]").astype("datetime64[D]")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the library's own quarrels with pandas
            calendar = calendars.get_calendar(listing.calendar, start=str(days[0]), end=str(days[1]))
    except calendars.errors.InvalidCalendarName as error:
        raise UserError(
            f"{listing.name}: no calendar {listing.calendar!r}", "name one of exchange-calendars"
        ) from error
    return [_ns(stamp) for stamp in calendar.opens], [_ns(stamp) for stamp in calendar.closes]


def _ns(stamp: Any) -> int:
    return int(stamp.as_unit("ns").value)
