"""The command line. Every command imports what it needs when it runs, so that `ets --help` answers at once."""

import atexit
import gc
import shutil
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from . import __version__
from .cli_doctor import doctor
from .cli_emulator import emulator
from .cli_export import export
from .cli_fetch import fetch_app
from .cli_live import compile_now, run
from .cli_parse import (
    RUNS,
    ConfigOption,
    EdgeOption,
    JsonOption,
    SeedOption,
    SetOption,
    load_config,
    names_of,
    run_folder,
    time_ns,
)
from .cli_query import query
from .cli_rebalance import rebalance
from .cli_record import record
from .cli_regimes import regimes
from .cli_why import why
from .errors import ExitCode, UserError, code_error
from .terminal import open_page, print_error, print_json, print_summary, print_table, print_wide, progress_bar

HOME = Path("ets_data")
CATALOG = HOME / "catalog"
DEMO = HOME / "demo"
DEMO_AGAIN = f"ets backtest --catalog {DEMO}/catalog --config demo --set signal.strength_min=3"
DEMO_MINUTES = 360.0
SIMULATED_MINUTES = 120.0
DEMO_SEED = 1

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
config_app = typer.Typer(no_args_is_help=True, help="The numbers and where they come from.")
app.add_typer(config_app, name="config")
app.add_typer(fetch_app, name="fetch")

CatalogOption = Annotated[Path, typer.Option("--catalog", help="Folder of tapes.")]
InstrumentsOption = Annotated[str, typer.Option("--instruments", help="BTC,ETH/USDT; all if left out.")]
RunArgument = Annotated[Path, typer.Argument(help="Folder of a run.")]


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and end the process with one of `ExitCode`."""
    _collect_less()
    try:
        app(args=arguments, prog_name="ets")
    except UserError as error:
        print_error(error)
        sys.exit(error.exit_code)
    except OSError as error:
        print_error(UserError(f"{error.filename or 'a file'}: {error.strerror or error}", "is the path right?"))
        sys.exit(ExitCode.DATA)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(ExitCode.INTERRUPTED)
    except Exception as error:  # noqa: BLE001 - the last stop: whatever arrives here is our own bug, or an edited line
        if (edited := code_error(error)) is not None:
            print_error(edited)
            sys.exit(ExitCode.USAGE)
        traceback.print_exc()
        print_error(UserError("this is a bug of the program", "please report it with the lines above"))
        sys.exit(ExitCode.INTERNAL)


def _collect_less() -> None:
    """Start-up makes many objects that live for ever: looking for garbage among them, then and at the end, takes a
    third of a short command.
    """
    gc.set_threshold(100_000, 50, 100)
    atexit.register(gc.freeze)


def _write_report(run: Path) -> Path:
    from .research.report import write_report

    return write_report(run)


def _facts_rows(tapes: list[Any]) -> dict[str, object]:
    return {facts.listing.name: _facts_row(facts) for facts in tapes}


def _facts_row(facts: Any) -> str:
    quality = facts.quality
    if not quality.bars:
        return f"{facts.packets:,} packets, {facts.levels:,} levels"
    left_out = quality.faulty_bars + quality.outlier_bars + quality.repeats
    return f"{quality.bars:,} bars, {quality.missing_bars:,} missing, {left_out:,} left out"


@app.callback(invoke_without_command=True)
def _top(
    show_version: Annotated[bool, typer.Option("--version", help="Print the version and leave.")] = False,
) -> None:
    """Volume-weighted order-flow momentum: simulate, backtest, verify, report."""
    if show_version:
        sys.stdout.write(f"ets {__version__}\n")
        raise typer.Exit


@app.command("import")
def import_data(
    format_name: Annotated[str, typer.Argument(metavar="FORMAT", help="The vendor format of the files.")],
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Files or folders.", exists=True)],
    listing: Annotated[
        str, typer.Option("--as", help='Format bars: VENUE or "VENUE SYMBOL", where file names do not say it.')
    ] = "",
    stamps: Annotated[str, typer.Option("--stamps", help="Format bars: stamped at their `start` or `end`.")] = "",
    timezone: Annotated[str, typer.Option("--timezone", help="Format bars: of stamps that name none.")] = "",
    catalog: CatalogOption = CATALOG,
    as_json: JsonOption = False,
) -> None:
    """Turn recorded files into tapes.

    Example: ets import bars downloads/kraken_btcusd.csv; or: ets import bars file.csv --as "kraken BTC/USD"
    """
    from .data.importers import import_paths
    from .data.importers.said import Said

    with progress_bar() as progress:
        tapes = import_paths(format_name, paths, catalog, progress, Said(listing, stamps, timezone))
    if as_json:
        print_json({"tapes": [facts.model_dump(mode="json") for facts in tapes]})
    else:
        print_table(f"Imported into {catalog}", _facts_rows(tapes))
        if assumed := {facts.listing.name: facts.assumed for facts in tapes if facts.assumed}:
            print_table("Assumed", assumed)


@app.command()
def data(catalog: CatalogOption = CATALOG, as_json: JsonOption = False) -> None:
    """Say what a catalog holds and how good it is."""
    from .data.catalog import describe, render

    _check_catalog(catalog)
    description = describe(catalog)
    if as_json:
        print_json(description)
    else:
        print_wide(render(description))


@app.command()
def simulate(
    minutes: Annotated[float, typer.Option("--minutes", help="Length of the market.", min=0.01)] = SIMULATED_MINUTES,
    seed: SeedOption = DEMO_SEED,
    edge: EdgeOption = 0.0,
    instruments: InstrumentsOption = "",
    catalog: CatalogOption = CATALOG,
    as_json: JsonOption = False,
) -> None:
    """Make a market of several venues out of a seed."""
    from .sim.market_tape import simulate_market

    with progress_bar() as progress:
        tapes = simulate_market(catalog, minutes, seed, edge, names_of(instruments), progress)
    if as_json:
        print_json({"tapes": [facts.model_dump(mode="json") for facts in tapes]})
    else:
        print_table(f"Simulated into {catalog}", _facts_rows(tapes))


@app.command()
def backtest(
    catalog: CatalogOption = CATALOG,
    instruments: InstrumentsOption = "",
    venues: Annotated[str, typer.Option("--venues", help="binance,coinbase; all if left out.")] = "",
    start: Annotated[str, typer.Option("--start", help="First moment, ISO 8601, UTC.")] = "",
    end: Annotated[str, typer.Option("--end", help="Last moment, ISO 8601, UTC.")] = "",
    config: ConfigOption = None,
    sets: SetOption = None,
    minutes: Annotated[
        float,
        typer.Option("--simulated", help="Trade this many minutes of a market made on the fly, not tapes.", min=0),
    ] = 0.0,
    seed: SeedOption = DEMO_SEED,
    edge: EdgeOption = 0.0,
    out: Annotated[Path | None, typer.Option("--out", help="Folder of the run; by default named by the time.")] = None,
    is_reported: Annotated[bool, typer.Option("--report/--no-report", help="Write report.html as well.")] = True,
    as_json: JsonOption = False,
) -> None:
    """Trade the tapes of a catalog and keep a run that can be replayed.

    Examples:
      ets backtest --instruments BTC --config short-windows --set risk.base_risk=0.001
      ets backtest --simulated 10080 --instruments BTC,ETH,SOL
    """
    resolved = load_config(config, sets)
    start_ns, end_ns = time_ns(start), time_ns(end)
    if not minutes:
        _check_catalog(catalog)
    run = out or RUNS / datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    from .sim import backtest as engine
    from .sim import simulated_run

    names = names_of(instruments)
    with progress_bar() as progress:
        if minutes:
            summary = simulated_run.run(minutes, seed, edge, resolved, run, names, progress)
        else:
            summary = engine.run(catalog, resolved, run, names, names_of(venues), start_ns, end_ns, progress)
        page = _write_report(run) if is_reported else None
    if as_json:
        print_json({"run": str(run), "report": str(page or ""), **summary})
    else:
        _show_run(summary, run, page)


@app.command()
def replay(
    run: RunArgument,
    verify: Annotated[bool, typer.Option("--verify", help="End with 1 if any decision differs.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Run a journal through the engine again and compare every decision."""
    run = run_folder(run)
    from .sim.replay import verify as verify_run

    result = verify_run(run)
    if as_json:
        print_json(result)
    else:
        print_table(f"Replay of {run}", result)
    if not result["identical"] and not result["is_same_code"]:
        print_error(UserError("the run was recorded by other code", "what differs may be the change, not chance"))
    if verify and not result["identical"]:
        raise typer.Exit(ExitCode.NO)


@app.command()
def report(
    run: RunArgument,
    is_opened: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write the report of a run and print where it is; with --json, its key figures as well."""
    run = run_folder(run)
    page = _write_report(run)
    if as_json:
        from .research.figures import read_figures

        print_json({"run": str(run), "report": str(page), **read_figures(run)})
    else:
        sys.stdout.write(f"{page}\n")
    if is_opened:
        open_page(page)


@app.command("null-test")
def null_test(
    hours: Annotated[float, typer.Option("--hours", help="Simulated hours per instrument.", min=0.5)] = 6.0,
    seed: SeedOption = DEMO_SEED,
    instruments: InstrumentsOption = "BTC,ETH,SOL,XRP,ADA,DOGE",
    edge: Annotated[float, typer.Option("--edge", help="0 is the null; more must be found.", min=0.0, max=1.0)] = 0.0,
    is_follower: Annotated[bool, typer.Option("--follower", help="Follow prints instead of the strategy.")] = False,
    look_ahead: Annotated[bool, typer.Option("--look-ahead", help="Plant one packet of look-ahead.")] = False,
    config: ConfigOption = None,
    sets: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Trade a market without edge: a profit at its efficient price is a look into the future.

    Example: ets null-test --hours 6; and, to see it fail: ets null-test --follower --look-ahead
    """
    resolved = load_config(config, sets)
    from .research.null_test import follower, follower_sets, run_null_test

    if is_follower:
        resolved = load_config(config, [*follower_sets(), *(sets or [])])
    with progress_bar() as progress:
        engine = {"simulate": follower()} if is_follower else {}
        figures = run_null_test(
            resolved, hours, seed, names_of(instruments) or [], edge, look_ahead, progress, **engine
        )
    if as_json:
        print_json(figures.as_dict())
    else:
        print_table("Null test", figures.as_dict())
    if not figures.passes:
        raise typer.Exit(ExitCode.NO)


app.command("run")(run)
app.command("compile")(compile_now)
app.command("emulator")(emulator)
app.command("record")(record)
app.command("doctor")(doctor)
app.command("export")(export)
app.command("why")(why)
app.command("regimes")(regimes)
app.command("query")(query)
app.command("rebalance")(rebalance)


def _show_run(summary: dict[str, Any], run: Path, page: Path | None) -> None:
    """The numbers, then what they mean in one sentence, then where to look further."""
    print_summary(summary, run)
    if page:
        sys.stdout.write(f"\n{_headline(run)}\n\nReport: {page}\n")


def _headline(run: Path) -> str:
    from .research.report_verdict import read_headline

    return read_headline(run)


def _check_catalog(catalog: Path) -> None:
    """Told before the engine is loaded, which takes a moment."""
    if not catalog.is_dir():
        more = f"; the demo's is {DEMO}/catalog" if (DEMO / "catalog").is_dir() else ""
        raise UserError(f"no catalog at {catalog}", f"`ets simulate` or `ets import` makes one{more}")


@config_app.command("show")
def config_show(
    has_origin: Annotated[bool, typer.Option("--origin", help="Say where each value came from.")] = False,
    config: ConfigOption = None,
    sets: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print every number of the resolved configuration."""
    from .config_sources import flatten

    resolved = load_config(config, sets)
    origins = resolved.origins()
    if as_json:
        print_json(
            {"digest": resolved.digest(), "values": resolved.values()} | ({"origins": origins} if has_origin else {})
        )
        return
    for key, value in flatten(resolved.values()):
        shown = str(value).lower() if isinstance(value, bool) else repr(value)
        sys.stdout.write(f"{key} = {shown}" + (f"  # {origins[key]}" if has_origin else "") + "\n")
    sys.stdout.write(f"# digest {resolved.digest()}\n")


@app.command()
def demo() -> None:
    """Simulate a market, backtest it and show the report. Needs no network, no keys, no data; keeps the run before."""
    from .config_sources import config_folder
    from .sim import backtest as engine
    from .sim.market_tape import simulate_market

    resolved = load_config([config_folder() / "demo.toml"], None)
    catalog, run, before = DEMO / "catalog", DEMO / "run", DEMO / "run-before"
    shutil.rmtree(catalog, ignore_errors=True)
    if run.is_dir():
        shutil.rmtree(before, ignore_errors=True)
        run.rename(before)
    with progress_bar() as progress:
        simulate_market(catalog, DEMO_MINUTES, DEMO_SEED, progress=progress)
        summary = engine.run(catalog, resolved, run, progress=progress)
        progress("writing the report", 1.0)
        page = _write_report(run)
    _show_run(summary, run, page)
    if before.is_dir():
        sys.stdout.write(f"\nThe run before: {before / 'report.html'}\n")
    sys.stdout.write(f"\nThe same market with your numbers: {DEMO_AGAIN}\n")
    open_page(page)
