"""A stranger's machine: a bare clone, the hashed lock, and the program runs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.drill
@pytest.mark.spec("X3")
def test_a_bare_clone_with_the_locked_requirements_trades(root: Path, tmp_path: Path) -> None:
    clone, python = tmp_path / "clone", tmp_path / "venv" / "bin" / "python"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def run(*command: object, cwd: Path = tmp_path) -> str:
        done = subprocess.run(
            [str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        return done.stdout

    run("git", "clone", "--quiet", root, clone)
    run(sys.executable, "-m", "venv", tmp_path / "venv")
    run(python, "-m", "pip", "install", "--quiet", "--require-hashes", "-r", clone / "requirements.txt")
    for module in ("elegant_trading_system", "elegant_trading_system.src.main"):
        assert run(python, "-m", module, "--version", cwd=clone).startswith("ets ")
    run(python, "-m", "elegant_trading_system", "simulate", "--minutes", 10, "--catalog", "c", cwd=clone)
    backtest = ("backtest", "--catalog", "c", "--config", "short-windows", "--out", "r", "--json")
    summary = json.loads(run(python, "-m", "elegant_trading_system", *backtest, cwd=clone))
    assert summary["events"] > 1_000
    run(python, "-m", "elegant_trading_system", "replay", "r", "--verify", cwd=clone)
    assert "report.html" in run(python, "-m", "elegant_trading_system", "report", "r", cwd=clone)
