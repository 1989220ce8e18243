"""`ets fetch`: public history, downloaded and imported. Every command imports what it needs when it runs."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .errors import ExitCode, UserError
from .terminal import print_json, print_table, progress_bar

if TYPE_CHECKING:
    from .data.tape import TapeFacts

FETCHED = Path("ets_data") / "fetched"
CATALOG = Path("ets_data") / "catalog"

fetch_app = typer.Typer(
    no_args_is_help=True,
    help="Download public history and import it. No keys needed. Shown against a loopback server with recorded or made "
    "answers only: the sources themselves may have changed.",
)

FolderOption = Annotated[Path, typer.Option("--folder", help="Where downloaded files are kept.")]
CatalogOption = Annotated[Path, typer.Option("--catalog", help="Folder of tapes.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else.")]


@fetch_app.command("binance-bars")
def binance_bars(
    instruments: Annotated[str, typer.Option("--instruments", help="BTC/USDT,BTC/USDT:USDT,BTC/USD:BTC")],
    start: Annotated[str, typer.Option("--start", help="First day, YYYY-MM-DD, UTC.")],
    end: Annotated[str, typer.Option("--end", help="The day after the last; today if left out.")] = "",
    folder: FolderOption = FETCHED,
    catalog: CatalogOption = CATALOG,
    base_url: Annotated[str, typer.Option("--base-url", envvar="ETS_BINANCE_VISION_URL")] = "",
    as_json: JsonOption = False,
) -> None:
    """Minute bars of Binance spot and perpetuals, from Binance Vision.

    Example: ets fetch binance-bars --instruments BTC/USDT --start 2024-01-01 --end 2024-02-01
    """
    from .data.fetch import binance_vision
    from .data.fetch.download import Downloader
    from .data.fetch.tapes import import_fetched

    symbols = _names(instruments)
    for symbol in symbols:
        binance_vision.market_of(symbol)
    days = _day(start), _day(end) if end else _today()
    tapes: list[TapeFacts] = []
    missing: dict[str, list[str]] = {}
    downloaded = 0
    with progress_bar() as progress, Downloader(base_url or binance_vision.BASE_URL, progress) as downloader:
        for symbol in symbols:
            fetched = binance_vision.fetch(downloader, symbol, *days, folder, progress)
            downloaded += fetched.downloaded
            missing |= {symbol: fetched.missing} if fetched.missing else {}
            tapes += import_fetched("bars", binance_vision.to_import(fetched.files), catalog, progress)
    _show(tapes, {"downloaded": downloaded, "missing": missing}, catalog, as_json=as_json)


@fetch_app.command()
def dvol(
    instruments: Annotated[str, typer.Option("--instruments", help="BTC,ETH")] = "BTC,ETH",
    start: Annotated[str, typer.Option("--start", help="First day, YYYY-MM-DD, UTC; all there are if left out.")] = "",
    end: Annotated[str, typer.Option("--end", help="The day after the last; today if left out.")] = "",
    folder: FolderOption = FETCHED,
    catalog: CatalogOption = CATALOG,
    base_url: Annotated[str, typer.Option("--base-url", envvar="ETS_DERIBIT_URL")] = "",
    as_json: JsonOption = False,
) -> None:
    """Daily implied volatility of BTC and ETH (DVOL), from Deribit's public API."""
    from .data.fetch import deribit
    from .data.fetch.download import Downloader
    from .data.fetch.tapes import import_fetched

    days = _day(start) if start else deribit.FIRST_DAY, _day(end) if end else _today()
    if days[0] >= days[1]:
        raise UserError(f"nothing to fetch from {days[0]} to before {days[1]}", "give a later end", ExitCode.USAGE)
    tapes = []
    with progress_bar() as progress, Downloader(base_url or deribit.BASE_URL, progress) as downloader:
        for currency in _names(instruments):
            path = deribit.fetch(downloader, currency, *days, folder, progress)
            tapes += import_fetched("volatility", [path], catalog, progress)
    _show(tapes, {}, catalog, as_json=as_json)


@fetch_app.command()
def vix(
    folder: FolderOption = FETCHED,
    catalog: CatalogOption = CATALOG,
    base_url: Annotated[str, typer.Option("--base-url", envvar="ETS_CBOE_URL")] = "",
    as_json: JsonOption = False,
) -> None:
    """Daily VIX since 1990, from CBOE."""
    from .data.fetch import cboe
    from .data.fetch.download import Downloader
    from .data.fetch.tapes import import_fetched

    with progress_bar() as progress, Downloader(base_url or cboe.BASE_URL, progress) as downloader:
        path, is_new = cboe.fetch(downloader, folder, progress)
        tapes = import_fetched("volatility", [path], catalog, progress)
    _show(tapes, {"downloaded": int(is_new)}, catalog, as_json=as_json)


def _names(text: str) -> list[str]:
    names = [name.strip().upper() for name in text.split(",") if name.strip()]
    if not names:
        raise UserError("no instruments", "--instruments BTC/USDT, or for dvol --instruments BTC", ExitCode.USAGE)
    return names


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UserError(f"{text!r} is not a day", "write it as 2024-01-31", ExitCode.USAGE) from None


def _today() -> date:
    return datetime.now(UTC).date()


def _show(tapes: "list[TapeFacts]", more: dict[str, object], catalog: Path, *, as_json: bool) -> None:
    if as_json:
        print_json({"tapes": [facts.model_dump(mode="json") for facts in tapes], **more})
        return
    rows: dict[str, object] = {facts.listing.name: _row(facts) for facts in tapes}
    print_table(f"Fetched into {catalog}", rows | {name: what for name, what in more.items() if what})


def _row(facts: "TapeFacts") -> str:
    quality = facts.quality
    kind = "bars" if quality.bars else "values"
    left_out = quality.faulty_bars + quality.outlier_bars + quality.repeats
    return f"{facts.packets:,} {kind}, {quality.missing_bars:,} missing, {left_out:,} left out"
