"""Daily VIX from CBOE's public file, which holds all days since 1990."""

from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from os import utime
from pathlib import Path

from ...core.schema import NS_PER_S
from ...errors import UserError
from ..importers.volatility import day_known_ns
from .download import Downloader, NotThere, write_whole

BASE_URL = "https://cdn.cboe.com"
PATH = "/api/global/us_indices/daily_prices/VIX_History.csv"

Progress = Callable[[str, float], None]


def fetch(downloader: Downloader, folder: Path, progress: Progress) -> tuple[Path, bool]:
    """folder/cboe/VIX_History.csv and whether it is newer than the one that was there."""
    target = folder / "cboe" / "VIX_History.csv"
    since = datetime.fromtimestamp(target.stat().st_mtime, UTC) if target.exists() else None
    progress(target.name, 0.0)
    try:
        answer = downloader.text(PATH, since)
    except NotThere as missing:
        raise UserError(f"{missing.url}: not found (404)", "CBOE may have moved the file: see --base-url") from None
    if answer is None:
        return target, False
    if not answer.text.lstrip("\ufeff").upper().startswith("DATE,"):
        message = f"{downloader.base_url}{PATH}: not the VIX history: {answer.text[:60]!r}"
        raise UserError(message, "nothing was written; try again later")
    write_whole(target, _without_today(target, answer.text).encode())
    _stamp(target, answer.last_modified)
    return target, True


def _without_today(target: Path, text: str) -> str:
    """A last row whose close is still to come is provisional (a guess from the file's habit of having one)."""
    lines = text.splitlines()
    known_ns = day_known_ns(target, len(lines), lines[-1].partition(",")[0].strip()) if len(lines) > 1 else 0
    if known_ns > datetime.now(UTC).timestamp() * NS_PER_S:
        lines.pop()
    return "\n".join(lines) + "\n"


def _stamp(target: Path, last_modified: str) -> None:
    """The file's time is the source's, so that the next call can ask whether there is a newer one."""
    try:
        seconds = parsedate_to_datetime(last_modified).timestamp()
    except (ValueError, TypeError):
        seconds = 0.0  # not said: the next call fetches again
    utime(target, (seconds, seconds))
