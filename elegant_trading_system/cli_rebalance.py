"""`ets rebalance`: which transfers would let the router do what it wanted. It moves nothing."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from .cli_parse import JsonOption, run_folder
from .errors import UserError
from .terminal import print_grid, print_json


def rebalance(
    run: Annotated[Path, typer.Argument(help="Folder of a live run that has ended.")], as_json: JsonOption = False
) -> None:
    """Propose transfers between the accounts of a live run: from where, to where, how much, why. Moves nothing.

    Examples:
      ets rebalance ets_data/runs/live-20260101T120000Z
    """
    from .sim.replay import read_manifest

    summary: dict[str, Any] = read_manifest(run_folder(run)).get("summary") or {}
    if "transfers" not in summary:
        raise UserError(f"{run}: it has no accounts to compare", "`ets run` makes runs that have, once they have ended")
    if as_json:
        print_json({name: summary[name] for name in ("accounts", "transfers")})
        return
    print_grid("Accounts", summary["accounts"])
    say_transfers(summary)


def say_transfers(summary: dict[str, Any]) -> None:
    """The proposal, a line each."""
    from .sim.rebalancing import in_words

    lines = in_words(summary["transfers"]) or ["none: money is where it is wanted"]
    sys.stdout.write("\nTransfers proposed (nothing moves by itself):\n" + "".join(f"  {line}\n" for line in lines))
