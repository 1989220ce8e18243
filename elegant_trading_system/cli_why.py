"""`ets why`: from the packet to the fill, or to the verdict that stopped it."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from .cli_parse import run_folder, time_ns
from .errors import ExitCode, UserError
from .terminal import print_json


def why(
    run: Annotated[Path, typer.Argument(help="Folder of a run.")],
    order_id: Annotated[int | None, typer.Argument(metavar="[ORDER]", help="Number of an order, from 1.")] = None,
    at: Annotated[str, typer.Option("--at", help="A moment instead, ISO 8601, UTC.")] = "",
    group: Annotated[str, typer.Option("--group", help="BTC; all if left out.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else.")] = False,
) -> None:
    """Say why an order was sent, from the packet to the fill; or at a moment, why none was.

    Examples:
      ets why RUN 17
      ets why RUN --at 2025-01-31T12:30:05 --group BTC
    """
    run = run_folder(run)
    if (order_id is None) == (not at):
        raise UserError("ask for an order or for a moment", "ets why RUN 17, or ets why RUN --at TIME", ExitCode.USAGE)
    from .research import why as research

    answer = (
        research.why_order(run, order_id) if order_id is not None else research.why_at(run, time_ns(at) or 0, group)
    )
    if as_json:
        print_json(answer)
        return
    from .research import why_words

    words = why_words.order_lines if order_id is not None else why_words.moment_lines
    sys.stdout.write("\n".join(words(answer)) + "\n")
