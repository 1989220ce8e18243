"""`ets query`: the tables of a run, asked in SQL."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from .cli_parse import run_folder
from .terminal import print_frame, print_json, print_table


def query(
    run: Annotated[Path, typer.Argument(help="Folder of a run.")],
    sql: Annotated[str, typer.Argument(metavar="[SQL]", help="One SELECT; tables and columns if left out.")] = "",
    is_csv: Annotated[bool, typer.Option("--csv", help="Print comma-separated values.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else.")] = False,
) -> None:
    """Ask a run's signals, orders, fills, trades, mark-outs and equity in SQL.

    Examples:
      ets query RUN
      ets query RUN "SELECT verdict, count(*) AS n, max(strength) AS most FROM verdicts GROUP BY verdict ORDER BY n DESC"
      ets query RUN "SELECT * FROM verdicts WHERE ts > '2025-01-31 12:30' AND strength > 2.5" --csv
      ets query RUN "SELECT venue, avg(slippage_bps) AS bps FROM orders GROUP BY venue" --json
    """
    run = run_folder(run)
    from .research import query as research

    if not sql:
        tables = research.columns_of(run)
        print_json({"tables": tables}) if as_json else print_table(
            "Tables", {name: ", ".join(columns) for name, columns in tables.items()}
        )
        return
    answer = research.query(run, sql)
    if as_json:
        print_json({"columns": answer.columns, "rows": answer.to_dicts()})
    elif is_csv:
        sys.stdout.write(answer.write_csv())
    else:
        print_frame(answer)
