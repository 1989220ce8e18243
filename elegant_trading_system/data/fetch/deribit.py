"""Daily DVOL from Deribit's public API: JSON-RPC over GET, paged backwards by `continuation`."""

from collections.abc import Callable
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec

from ...errors import ExitCode, UserError
from .download import Downloader, NotThere, Passing, write_whole

BASE_URL = "https://www.deribit.com"
METHOD = "/api/v2/public/get_volatility_index_data"
CURRENCIES = ("BTC", "ETH")
FIRST_DAY = date(2021, 3, 24)  # a guess: about when the index was launched; earlier days are simply not answered
MS_PER_DAY = 86_400_000
PAGES_MAX = 1_000
TOO_MANY_REQUESTS = 10_028
HINT = "the source answers in a way not known here: nothing was written"

Progress = Callable[[str, float], None]
Row = list[float]


def fetch(downloader: Downloader, currency: str, start: date, end: date, folder: Path, progress: Progress) -> Path:
    """All finished days of [start, end) in folder/deribit/dvol_CURRENCY.json, beside those that were there."""
    if currency not in CURRENCIES:
        raise UserError(f"no DVOL of {currency!r}", f"there is one of {' and '.join(CURRENCIES)}", ExitCode.USAGE)
    target = folder / "deribit" / f"dvol_{currency.lower()}.json"
    rows = {int(row[0]): row for row in _stored(target)}
    first_ms, end_ms = _ms(start), min(_ms(end), _ms(datetime.now(UTC).date()))
    if rows and min(rows) <= max(first_ms, _ms(FIRST_DAY)):
        first_ms = max(first_ms, max(rows) + MS_PER_DAY)
    for page in _pages(downloader, currency, first_ms, end_ms, progress):
        rows |= {int(row[0]): row for row in page if int(row[0]) + MS_PER_DAY <= end_ms}
    if not rows:
        raise UserError(
            f"{downloader.base_url}: no DVOL of {currency} from {start} to before {end}", "ask for other days"
        )
    write_whole(target, msgspec.json.encode([rows[ms] for ms in sorted(rows)]))
    return target


def _ms(day: date) -> int:
    return round(datetime.combine(day, time(), UTC).timestamp()) * 1000


def _stored(target: Path) -> list[Row]:
    if not target.exists():
        return []
    try:
        return msgspec.json.decode(target.read_bytes(), type=list[Row])
    except msgspec.DecodeError as error:
        raise UserError(f"{target}: {error}", "remove it: it will be fetched again") from None


def _pages(downloader: Downloader, currency: str, first_ms: int, end_ms: int, progress: Progress) -> Any:
    """Lists of [ms, open, high, low, close], newest page first."""
    until_ms = end_ms
    for number in range(PAGES_MAX):
        if until_ms <= first_ms:
            return
        progress(f"DVOL {currency}, page {number + 1}", (end_ms - until_ms) / (end_ms - first_ms))
        page, continuation = _page(downloader, currency, first_ms, until_ms)
        yield page
        if continuation is None:
            return
        if continuation >= until_ms:
            raise UserError(f"{downloader.base_url}{METHOD}: continuation {continuation} does not go back", HINT)
        until_ms = continuation
    raise UserError(f"{downloader.base_url}{METHOD}: more than {PAGES_MAX} pages", HINT)


def _page(downloader: Downloader, currency: str, first_ms: int, until_ms: int) -> tuple[list[Row], int | None]:
    query = {"currency": currency, "start_timestamp": first_ms, "end_timestamp": until_ms, "resolution": "1D"}
    try:
        answer = downloader.text(f"{METHOD}?{urlencode(query)}", check=_check)
    except NotThere as missing:
        raise UserError(f"{missing.url}: not found (404)", "is the address Deribit's? See --base-url") from None
    assert answer is not None
    result = _result(answer.text)
    rows, continuation = result.get("data"), result.get("continuation")
    is_right = isinstance(rows, list) and all(_is_row(row) for row in rows)
    if rows is None or not is_right or not isinstance(continuation, int | None):
        raise UserError(f"{downloader.base_url}{METHOD}: not rows [ms, open, high, low, close]", HINT)
    return rows, continuation


def _is_row(row: object) -> bool:
    return isinstance(row, list) and len(row) == 5 and all(isinstance(value, int | float) for value in row)


def _check(text: str) -> None:
    """Errors come with a code, whatever the HTTP status."""
    error = _decoded(text).get("error")
    if isinstance(error, dict) and error.get("code") == TOO_MANY_REQUESTS:
        raise Passing(f"Deribit says {error.get('message')}")
    if error:
        raise UserError(f"Deribit says {error}", "is the request one Deribit still knows?")


def _result(text: str) -> dict[str, Any]:
    result = _decoded(text).get("result")
    return result if isinstance(result, dict) else {}


def _decoded(text: str) -> dict[str, Any]:
    try:
        decoded = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return {}
    return decoded if isinstance(decoded, dict) else {}
