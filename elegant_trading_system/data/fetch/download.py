"""One polite HTTP client: resumes, verifies, retries what may pass, and says plainly what does not.

Retried, at most ATTEMPTS times: timeouts, broken connections, 408, 429 and 5xx, after a pause that doubles or that the
server names (Retry-After). Everything else is a UserError at once.
"""

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from pathlib import Path
from typing import NamedTuple, Self, TypeVar

import httpx

from ... import __version__
from ...errors import ExitCode, UserError

ATTEMPTS = 6
PAUSE_S, PAUSE_S_MAX = 0.5, 30.0
RETRY_AFTER_S_MAX = 120.0  # a server that asks for more is asked again by the person, later
TIMEOUT = httpx.Timeout(30.0, connect=10.0)
TEXT_BYTES_MAX = 64 << 20
FILE_BYTES_MAX = 4 << 30
PASSING = frozenset({408, 429, 500, 502, 503, 504})
PART = ".part"
AS_IT_IS = {"Accept-Encoding": "identity"}  # ranges count the bytes of what is sent

T = TypeVar("T")
Progress = Callable[[str, float], None]
Sleep = Callable[[float], None]


class NotThere(Exception):
    """404: the caller knows what that means."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.url = url


class Passing(Exception):
    """It may work later."""

    def __init__(self, reason: str, pause_s: float | None = None) -> None:
        super().__init__(reason)
        self.pause_s = pause_s


class Answer(NamedTuple):
    text: str
    last_modified: str


class Downloader:
    """Holds the connection; a context manager."""

    def __init__(self, base_url: str, tell: Progress = lambda *_: None, sleep: Sleep = time.sleep) -> None:
        self.base_url = checked_url(base_url)
        self.tell, self.sleep = tell, sleep
        headers = {"User-Agent": f"elegant-trading-system/{__version__}"}
        self.client = httpx.Client(headers=headers, timeout=TIMEOUT, follow_redirects=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def text(
        self, path: str, since: datetime | None = None, check: Callable[[str], None] = lambda _: None
    ) -> Answer | None:
        """A small answer as text; None if not modified since. `check` may raise Passing."""
        headers = {"If-Modified-Since": format_datetime(since, usegmt=True)} if since else {}
        return self._persistent(path, lambda url: self._text(url, headers, check))

    def file(self, path: str, target: Path, sha256: str, progress: Callable[[float], None]) -> None:
        """Fetch into target, whole and verified or not at all; goes on from target.part if there is one."""
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(target.name + PART)
        is_resumed = part.exists() and part.stat().st_size > 0
        self._persistent(path, lambda url: self._append(url, part, progress))
        if _sha256(part) != sha256 and is_resumed:  # the beginning may be of another version
            part.unlink()
            self._persistent(path, lambda url: self._append(url, part, progress))
        if _sha256(part) != sha256:
            part.unlink()
            raise UserError(f"{self.base_url}{path}: differs from its published checksum", "run the command again")
        part.replace(target)

    def _persistent(self, path: str, attempt: Callable[[str], T]) -> T:
        """The attempt's result; UserError when it stays impossible."""
        url = self.base_url + path
        for number in range(ATTEMPTS):
            try:
                return attempt(url)
            except httpx.RequestError as error:
                problem = Passing(str(error) or type(error).__name__)
            except Passing as passing:
                problem = passing
            if number + 1 < ATTEMPTS:
                pause_s = _pause_s(url, number, problem)
                self.tell(f"{problem}; again in {pause_s:,.1f} s", 0.0)
                self.sleep(pause_s)
        raise UserError(
            f"{url}: {problem}; tried {ATTEMPTS} times", "is the network up? The command goes on where it was"
        )

    def _text(self, url: str, headers: dict[str, str], check: Callable[[str], None]) -> Answer | None:
        with self._answered(url, headers) as response:
            if response.status_code == httpx.codes.NOT_MODIFIED:
                return None
            text = b"".join(_limited(url, response, TEXT_BYTES_MAX)).decode("utf-8", errors="replace")
        check(text)
        _refuse(url, response, text)
        return Answer(text, response.headers.get("Last-Modified", ""))

    def _append(self, url: str, part: Path, progress: Callable[[float], None]) -> None:
        """Behind what is in the part; anew where the server does not know how."""
        done = part.stat().st_size if part.exists() else 0
        with self._answered(url, AS_IT_IS | ({"Range": f"bytes={done}-"} if done else {})) as response:
            if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
                return  # the part is all there is, or wrong, which its checksum tells
            _refuse(url, response, "")
            goes_on = response.headers.get("Content-Range", "").startswith(f"bytes {done}-")
            done = done if goes_on else 0
            total = done + int(response.headers.get("Content-Length", 0))
            with part.open("ab" if goes_on else "wb") as file:
                for block in _limited(url, response, FILE_BYTES_MAX - done):
                    done += file.write(block)
                    progress(min(1.0, done / total) if total else 0.0)

    @contextmanager
    def _answered(self, url: str, headers: dict[str, str]) -> Iterator[httpx.Response]:
        """An answer whose status is final: not 404, not one that may pass."""
        with self.client.stream("GET", url, headers=headers) as response:
            if response.status_code == httpx.codes.NOT_FOUND:
                raise NotThere(url)
            if response.status_code in PASSING:
                raise Passing(_status(response), _retry_after_s(response.headers.get("Retry-After", "")))
            yield response


def checked_url(url: str) -> str:
    """A base address without a slash at its end; UserError if it is none."""
    try:
        is_right = httpx.URL(url).scheme in ("http", "https") and bool(httpx.URL(url).host)
    except httpx.InvalidURL:
        is_right = False
    if not is_right:
        raise UserError(f"{url!r} is not an address", "for example: https://data.binance.vision", ExitCode.USAGE)
    return url.rstrip("/")


def _refuse(url: str, response: httpx.Response, text: str) -> None:
    if not response.is_success:
        excerpt = f": {text[:200]}" if text else ""
        raise UserError(
            f"{url}: {_status(response)}{excerpt}", "the source refuses: is it reachable from where you are?"
        )


def _status(response: httpx.Response) -> str:
    return f"HTTP {response.status_code} {response.reason_phrase}".strip()


def _limited(url: str, response: httpx.Response, most: int) -> Iterator[bytes]:
    seen = 0
    for block in response.iter_bytes():
        seen += len(block)
        if seen > most:
            raise UserError(f"{url}: more than {most >> 20} MB", "this is not what was asked for")
        yield block


def _pause_s(url: str, number: int, problem: Passing) -> float:
    if problem.pause_s is None:
        return min(PAUSE_S * 2.0**number, PAUSE_S_MAX)
    if problem.pause_s > RETRY_AFTER_S_MAX:
        message = f"{url}: {problem}; it asks to wait {problem.pause_s:,.0f} s"
        raise UserError(message, "run the command again after that time: it goes on where it was")
    return problem.pause_s


def _retry_after_s(text: str) -> float | None:
    """Seconds or a date, as RFC 9110 10.2.3 allows; None if neither."""
    if text.strip().isdigit():
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_whole(path: Path, data: bytes) -> None:
    """Under a temporary name, then renamed: a crash leaves the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + PART)
    part.write_bytes(data)
    part.replace(path)
