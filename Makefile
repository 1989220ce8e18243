# Needs Python 3.11 or newer with pip, and make. Everything else is put into .venv from the hashed lock files.

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip install --disable-pip-version-check --require-hashes --progress-bar=on
TESTS ?= -n 2
SEEDS ?= 1000
CASES ?= 100000
MINUTES ?= 30
.DEFAULT_GOAL := help

.PHONY: help run setup test lint format check drill fuzz bench soak spec lock clean

help:  ## list these words
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

run: $(VENV)/.runtime  ## ten minutes of trading on simulated venues, then the report
	$(PY) -m elegant_trading_system

setup: $(VENV)/.dev  ## everything for working on the code; `ets` is then in .venv/bin

test: lint  ## what must hold before every commit
	$(PY) -m pytest $(TESTS)
	NUMBA_DISABLE_JIT=1 $(PY) -m pytest $(TESTS) -m "uncompiled and not drill"

lint: $(VENV)/.dev  ## style and types
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

format: $(VENV)/.dev  ## put the code into its form
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

check: test  ## the long drills as well
	$(PY) -m pytest $(TESTS) -m drill

drill: $(VENV)/.dev  ## a trader and a venue with everything going wrong between them: make drill SEEDS=1000
	$(PY) -m tests.live.drill 0 $(SEEDS)
	$(PY) -m tests.live.futures_drill 0 $(SEEDS)
	$(PY) -m tests.live.coinbase_drill 0 $(SEEDS)

fuzz: $(VENV)/.dev  ## spoilt frames against every feed, gateway and emulated venue: make fuzz CASES=1000000
	$(PY) -m tests.live.fuzz $(CASES)

bench: $(VENV)/.runtime  ## measure; results go to bench/
	$(PY) -m bench

soak: $(VENV)/.runtime  ## five thousand messages a second through the live path, memory watched: make soak MINUTES=30
	$(PY) -m bench.soak --minutes $(MINUTES)

spec: $(VENV)/.dev  ## write docs/spec.md from the tests' marks
	$(PY) docs/generate_spec.py

# A stamp is younger than its lock file: the second time costs nothing, a changed lock starts over.
$(VENV)/.runtime: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 ...")'
	@echo "Making $(VENV): about 150 MB of libraries, once"
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	$(PIP) -r requirements.txt
	@# The clone on the path and a launcher: an editable install without a build tool to download.
	@$(PY) -c 'import pathlib, sysconfig; pathlib.Path(sysconfig.get_path("purelib"), "ets.pth").write_text(str(pathlib.Path.cwd()) + "\n")'
	@printf '#!/bin/sh\nexec "%s/$(PY)" -m elegant_trading_system "$$@"\n' "$(CURDIR)" > $(VENV)/bin/ets
	@chmod +x $(VENV)/bin/ets
	@$(PY) -m elegant_trading_system compile
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime requirements-dev.txt
	$(PIP) -r requirements-dev.txt
	@touch $@

lock:  ## for maintainers: compile the lock files anew (needs uv)
	$(LOCK) -o requirements.txt
	$(LOCK) --extra dev -o requirements-dev.txt
	$(LOCK) --extra ccxt -o requirements-ccxt.txt
	$(LOCK) bench/peers.in -o bench/requirements-peers.txt
	$(LOCK) bench/live.in -o bench/requirements-live.txt

LOCK = uv pip compile --upgrade --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-emit-find-links --custom-compile-command "make lock" pyproject.toml

clean:  ## remove .venv and caches; runs and data stay
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
