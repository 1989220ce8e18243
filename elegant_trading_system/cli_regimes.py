"""`ets regimes`: what kind of market the recorded bars were, length by length."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from .cli_parse import names_of
from .terminal import print_json, print_wide, progress_bar

SHARES = ("trend", "neutral", "range", "volatile", "cost_share")


def regimes(
    catalog: Annotated[Path, typer.Option("--catalog", help="Folder of tapes.")] = Path("ets_data/catalog"),
    instruments: Annotated[str, typer.Option("--instruments", help="BTC,ETH/USDT; all if left out.")] = "",
    venues: Annotated[str, typer.Option("--venues", help="binance; all if left out.")] = "",
    files: Annotated[list[Path] | None, typer.Option("--config", help="TOML file over the defaults.")] = None,
    sets: Annotated[list[str] | None, typer.Option("--set", help="section.key=value, over everything else.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else.")] = False,
) -> None:
    """Say how a catalog's bars divide into regimes and what a trade would cost against their range.

    Examples:
      ets import bars klines/ && ets regimes --instruments BTC
      ets regimes --set bars.lengths_s=[60,300,900] --json
    """
    from .config_sources import load
    from .research.regimes import regimes_of

    config = load(files or [], sets or [])
    with progress_bar() as progress:
        answer = regimes_of(catalog, config, names_of(instruments), names_of(venues), progress)
    if as_json:
        print_json({"listings": answer, "cost_share_max": config.bars.cost_share_max})
    else:
        print_wide(_table(answer, config.bars.cost_share_max))


def _table(answer: dict[str, list[dict[str, Any]]], cost_share_max: float) -> Table:
    title = f"Regimes by bar length; a bar is traded where the cost is at most {cost_share_max:.0%} of its range"
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    table.add_column("")
    for heading in ("bar", "bars", "trend", "neutral", "range", "flips a day", "volatile", "ATR bps", "cost"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, rows in answer.items():
        for row in rows:
            share = {key: "not known" if row[key] is None else f"{row[key]:.0%}" for key in SHARES}
            table.add_row(
                name if row is rows[0] else "", f"{row['bar_s']} s", f"{row['bars']:,}", share["trend"],
                share["neutral"], share["range"], f"{row['flips_a_day']:.1f}", share["volatile"],
                f"{row['atr_bps']:.1f}", share["cost_share"],
            )  # fmt: skip
    return table
