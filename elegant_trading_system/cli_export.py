"""`ets export`: tapes into the files of other programs."""

from pathlib import Path
from typing import Annotated

import typer

from .cli_parse import names_of
from .errors import ExitCode, UserError
from .terminal import print_json, print_table, progress_bar

FORMATS = ("hftbacktest",)


def export(
    catalog: Annotated[Path, typer.Option("--catalog", help="Folder of tapes.")] = Path("ets_data/catalog"),
    instruments: Annotated[str, typer.Option("--instruments", help="BTC or BTC/USDT; all if left out.")] = "",
    venues: Annotated[str, typer.Option("--venues", help="binance; all if left out.")] = "",
    format_name: Annotated[str, typer.Option("--format", help="hftbacktest")] = "hftbacktest",
    out: Annotated[Path, typer.Option("--out", help="The file to write.")] = Path("ets_data/export.npz"),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else.")] = False,
) -> None:
    """Write one listing's tapes for another program, with a page that describes the listing beside it.

    Example: ets export --instruments BTC --venues binanceusdm --out binanceusdm_BTC-USDT-USDT.npz
    """
    if format_name not in FORMATS:
        raise UserError(f"unknown format {format_name!r}", f"known formats: {', '.join(FORMATS)}", ExitCode.USAGE)
    from .data.catalog import Catalog
    from .data.export_hftbacktest import export_tapes

    tapes = Catalog(catalog).tapes(names_of(instruments), names_of(venues))
    with progress_bar() as progress:
        figures = export_tapes(tapes, out, progress)
    if as_json:
        print_json(figures)
    else:
        print_table(f"Exported to {out}", figures)
