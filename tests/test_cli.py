"""The command line: quick, one JSON object when asked, errors for people, exit codes that mean something."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from numba.core.errors import TypingError

from elegant_trading_system import __version__, cli, terminal
from elegant_trading_system.cli_parse import RUNS, run_folder
from elegant_trading_system.errors import ExitCode, UserError, code_error
from elegant_trading_system.sim.backtest import formula

StandIn = Callable[[str, Callable[..., Any]], None]

SUMMARY: dict[str, Any] = {
    "events": 1000,
    "wall_s": 0.5,
    "lots": {"sent": 3, "filled": 2, "expired": 1, "working": 0},
    "pnl": {"realised": 1.5, "net": -0.25},
    "verdicts": {"STRENGTH_LOW": 12},
    "venues": {},
    "digests": {"decisions": "00ff"},
}


def run_ets(*arguments: str, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).parent.parent
    env = {name: value for name, value in os.environ.items() if not name.startswith("ETS__")}
    env |= {"PYTHONPATH": str(root), "COLUMNS": "200", "NO_COLOR": "1", **environ}
    return subprocess.run(
        [sys.executable, "-m", "elegant_trading_system", *arguments],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def ets(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Any]:
    """Run one command in this process, in an empty folder: (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            cli.main(list(arguments))
        out, err = capsys.readouterr()
        return int(left.value.code or 0), out, err

    return run


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """Replace a function that a command calls, which would compile the engine."""

    def replace(name: str, function: Callable[..., Any]) -> None:
        monkeypatch.setattr(f"elegant_trading_system.{name}", function)

    return replace


# --- quick ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("command", ["--help", "--version", "config show", "backtest --help"])
def test_questions_are_answered_without_loading_the_compiler(command: str, root: Path, tmp_path: Path) -> None:
    program = (
        "import sys\nfrom elegant_trading_system.cli import main\n"
        f"try: main({command.split()!r})\n"
        "except SystemExit as left: assert not left.code, left.code\n"
        "heavy = {'numba', 'polars', 'plotly'} & set(sys.modules)\nassert not heavy, heavy\n"
    )
    env = os.environ | {"PYTHONPATH": str(root)}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_version_is_the_package_s(ets: Callable[..., Any]) -> None:
    assert ets("--version") == (ExitCode.OK, f"ets {__version__}\n", "")


# --- the same program by all its names --------------------------------------------------------------------
@pytest.mark.spec("X3")
@pytest.mark.parametrize("name", ["elegant_trading_system", "elegant_trading_system.src.main"])
def test_the_program_starts_by_its_founding_name_too(name: str, root: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", name, "--version"], cwd=root, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, f"ets {__version__}\n")


@pytest.mark.spec("X3")
def test_src_config_is_the_configuration() -> None:
    from elegant_trading_system import config
    from elegant_trading_system.src import config as alias

    assert alias.Config is config.Config


# --- configuration ----------------------------------------------------------------------------------------
def test_config_show_says_where_each_number_is_from(ets: Callable[..., Any]) -> None:
    code, out, _ = ets("config", "show", "--origin", "--set", "risk.base_risk=0.003", "--config", "literal")
    assert code == ExitCode.OK
    assert "risk.base_risk = 0.003  # --set" in out
    assert "regimes.neutral.stop_atr = 0.75  # default" in out
    assert "literal.toml" in next(line for line in out.splitlines() if line.startswith("signal.imbalance_min"))


def test_config_show_can_be_read_back_as_toml(ets: Callable[..., Any]) -> None:
    import tomllib

    _, out, _ = ets("config", "show")
    _, as_json, _ = ets("config", "show", "--json")
    assert tomllib.loads(out) == json.loads(as_json)["values"]


def test_all_problems_of_the_configuration_are_printed_and_nothing_starts(
    ets: Callable[..., Any], tmp_path: Path
) -> None:
    code, out, err = ets(
        "backtest", "--set", "risk.base_rsk=1", "--set", "market.pass_ms=300", "--set", "regimes.neutral.stop_atr=0"
    )
    assert (code, out) == (ExitCode.USAGE, "")
    assert "did you mean risk.base_risk?" in err
    assert "market.pass_ms = 300" in err
    assert "regimes.neutral.stop_atr = 0" in err
    assert "Traceback" not in err
    assert not list(tmp_path.iterdir())


# --- errors -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "arguments, code",
    [
        (["nonsense"], ExitCode.USAGE),
        (["backtest", "--nonsense"], ExitCode.USAGE),
        (["backtest", "--start", "yesterday"], ExitCode.USAGE),
        (["simulate", "--minutes", "-1"], ExitCode.USAGE),
        (["import", "binance-capture", "no-such-file"], ExitCode.USAGE),
        (["backtest"], ExitCode.DATA),
        (["data"], ExitCode.DATA),
        (["replay", "no-such-run", "--verify"], ExitCode.DATA),
        (["report", "no-such-run"], ExitCode.DATA),
    ],
)
def test_the_exit_code_says_whose_turn_it_is(ets: Callable[..., Any], arguments: list[str], code: ExitCode) -> None:
    left, out, err = ets(*arguments)
    assert (left, out) == (code, "")
    assert err
    assert "Traceback" not in err


def test_an_error_says_what_and_what_to_do(ets: Callable[..., Any]) -> None:
    assert ets("data") == (
        ExitCode.DATA,
        "",
        "error: no catalog at ets_data/catalog\n`ets simulate` or `ets import` makes one\n",
    )


def test_our_own_bug_keeps_its_traceback(ets: Callable[..., Any], stand_in: StandIn, tmp_path: Path) -> None:
    stand_in("cli._write_report", lambda _run: 1 // 0)
    code, out, err = ets("report", str(tmp_path))
    assert (code, out) == (ExitCode.INTERNAL, "")
    assert "ZeroDivisionError" in err


def test_a_file_that_cannot_be_read_is_bad_data(ets: Callable[..., Any], stand_in: StandIn, tmp_path: Path) -> None:
    stand_in("cli._write_report", lambda run: (run / "summary.json").read_text())
    code, _, err = ets("report", str(tmp_path))
    assert code == ExitCode.DATA
    assert err.startswith("error: ")
    assert "summary.json" in err


def test_an_interruption_is_130(ets: Callable[..., Any], stand_in: StandIn, tmp_path: Path) -> None:
    def interrupt(_run: Path) -> None:
        raise KeyboardInterrupt

    stand_in("cli._write_report", interrupt)
    assert ets("report", str(tmp_path))[0] == ExitCode.INTERRUPTED


# --- commands and what they call --------------------------------------------------------------------------
def test_backtest_prints_one_json_object_and_progress_elsewhere(
    ets: Callable[..., Any], stand_in: StandIn, tmp_path: Path
) -> None:
    calls: list[tuple[Any, ...]] = []

    def run(*arguments: Any) -> dict[str, Any]:
        calls.append(arguments)
        arguments[-1]("compiling the engine", 0.0)
        return SUMMARY

    stand_in("sim.backtest.run", run)
    (tmp_path / "tapes").mkdir()
    code, out, err = ets(
        *("backtest", "--catalog", "tapes", "--instruments", "BTC/USDT, ETH/USDT", "--venues", "sim-a", "--out", "r"),
        *(
            "--start",
            "2025-01-31T12:00",
            "--end",
            "2025-01-31T13:00+00:00",
            "--set",
            "regimes.neutral.stop_atr=1.0",
            "--json",
        ),
        "--no-report",
    )
    assert code == ExitCode.OK
    assert json.loads(out) == {"run": "r", "report": "", **SUMMARY}
    assert err == "compiling the engine\n"
    [(catalog, config, folder, instruments, venues, start_ns, end_ns, _)] = calls
    assert (catalog, folder, instruments, venues) == (Path("tapes"), Path("r"), ["BTC/USDT", "ETH/USDT"], ["sim-a"])
    assert (start_ns, end_ns) == (1_738_324_800_000_000_000, 1_738_328_400_000_000_000)
    assert config.regimes.neutral.stop_atr == 1.0


@pytest.mark.parametrize("is_identical, code", [(True, ExitCode.OK), (False, ExitCode.NO)])
def test_verification_answers_by_its_exit_code(
    ets: Callable[..., Any], stand_in: StandIn, tmp_path: Path, is_identical: bool, code: ExitCode
) -> None:
    result = {"identical": is_identical, "is_same_code": False, "recorded": "00", "replayed": "01"}
    stand_in("sim.replay.verify", lambda _run: result)
    left, out, told = ets("replay", str(tmp_path), "--verify", "--json")
    assert (left, json.loads(out)) == (code, result)
    assert ("recorded by other code" in told) is not is_identical


def test_the_demonstration_simulates_trades_and_reports(ets: Callable[..., Any], stand_in: StandIn) -> None:
    done: list[str] = []

    def run(_catalog: Path, _config: object, out: Path, **__: object) -> dict[str, Any]:
        done.append("backtest")
        out.mkdir(parents=True)
        (out / "number").write_text(str(len(done)))
        return SUMMARY

    stand_in("sim.market_tape.simulate_market", lambda *_, **__: done.append("simulate"))
    stand_in("sim.backtest.run", run)
    stand_in("cli._write_report", lambda run: run / "report.html")
    stand_in("cli._headline", lambda _run: "Nothing traded.")
    code, out, _ = ets("demo")
    assert (code, done) == (ExitCode.OK, ["simulate", "backtest"])
    assert "The run before" not in out
    _, out, _ = ets("demo")  # with another formula, say: both reports are there
    assert f"The run before: {Path('ets_data/demo/run-before/report.html')}\n" in out
    assert [Path(f"ets_data/demo/{name}/number").read_text() for name in ("run-before", "run")] == ["2", "4"]
    assert f"Report: {Path('ets_data/demo/run/report.html')}\n" in out
    assert out.endswith("ets backtest --catalog ets_data/demo/catalog --config demo --set signal.strength_min=3\n")


def test_a_browser_is_opened_only_for_somebody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setenv("DISPLAY", ":0")
    assert not terminal.open_page(tmp_path)  # stdout is no terminal here
    assert not opened


def test_a_command_in_a_real_process_ends_as_it_should(tmp_path: Path) -> None:
    done = run_ets("backtest", cwd=tmp_path, ETS__RISK__BASE_RISK="lots")
    assert done.returncode == ExitCode.USAGE
    assert "ETS__RISK__BASE_RISK: risk.base_risk = 'lots'" in done.stderr
    assert done.stdout == ""


def test_a_user_error_carries_its_exit_code() -> None:
    assert UserError("what").exit_code == ExitCode.DATA


# --- somebody edits the strategy ------------------------------------------------------------------------------------
def test_a_line_that_does_not_compile_is_named_and_called_no_bug_of_ours() -> None:
    text = (
        "Failed in nopython mode pipeline (step: nopython frontend)\nUnknown attribute 'velocty' of type View(float64)\n"
        '\nFile "core/signal_engine.py", line 66:\ndef strength(view):\n    <source elided>\n'
        "    return view.velocty * view.tightness\n    ^\n\nDuring: typing of get attribute\n"
    )
    found = code_error(TypingError(text))
    assert found is not None
    assert (
        found.message == "core/signal_engine.py:66: does not compile: Unknown attribute 'velocty' of type View(float64)"
    )
    assert found.hint.startswith("the line is return view.velocty * view.tightness;")
    assert code_error(ValueError("ours")) is None


def test_a_line_that_is_no_python_is_named() -> None:
    with pytest.raises(SyntaxError) as caught:
        compile("value = (1 +\n", "core/signal_engine.py", "exec")
    found = code_error(caught.value)
    assert found is not None
    assert found.message == "core/signal_engine.py:1: '(' was never closed"


def test_the_formula_traded_is_kept_as_it_stands_in_the_source() -> None:
    assert formula() == "Strength = math.exp(abs(log_ratio)) * velocity * tightness"


def test_a_run_is_found_by_its_name_among_those_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / RUNS / "tuesday").mkdir(parents=True)
    assert run_folder(Path("tuesday")) == RUNS / "tuesday"
    with pytest.raises(UserError, match="no run at wednesday"):
        run_folder(Path("wednesday"))
