# `make help` lists the targets. `make demo` and `make test` need only Python 3.11 or newer and install the rest.

SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
BIN := .venv/bin
PACKAGES := tocsin core storage domain actions stats net ingest models stream api dashboard bench
ARGS ?=

SECONDS ?= 300
SEED ?=

# Compiled modules are kept even where the environment forbids it: without them, every start of a program compiles torch and Dash again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup demo test test-fast lint format lock evaluate bench soak screenshots clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

.venv/.ready: requirements.lock pyproject.toml
	@if [ -z "$(PYTHON)" ]; then echo "tocsin needs Python 3.11 or newer"; exit 1; fi
	@echo "setup: creating .venv with $$($(PYTHON) --version)"
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv .venv
	@$(BIN)/python -m uv --version >/dev/null 2>&1 || $(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip >/dev/null
	@$(BIN)/python -m uv --version >/dev/null 2>&1 || { echo "setup: fetching uv"; $(BIN)/python -m pip install -q --disable-pip-version-check 'uv>=0.8'; }
	@echo "setup: installing the locked dependencies, checked by hash (6 GB with torch's CUDA; about a minute)"
	@$(BIN)/python -m uv pip install -q --python $(BIN)/python --require-hashes -r requirements.lock
	@$(BIN)/python -m uv pip install -q --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

setup: .venv/.ready ## Create .venv and install the locked dependencies
	@echo "setup: done; try $(BIN)/tocsin --help"

demo: .venv/.ready ## Run the system on a simulated newswire: crawl, score, alert, dashboard (ARGS="--seed 11")
	@echo "demo: starting the embedded broker, store, worker and dashboard, and a simulated newswire"
	@$(BIN)/tocsin demo $(ARGS)

test: .venv/.ready ## Run all tests, against a real Kafka, ClickHouse and browser where they can be installed
	@./tests/install
	@echo "test: running every test"
	@$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder -m "not alone" $(ARGS)
	@echo "test: running the tests that measure time, one after the other"
	@$(BIN)/python -m pytest -m alone $(or $(ARGS),$$(grep -rl --include="*.py" mark.alone tests)) || [ $$? = 5 ] # 5: ARGS selected none of them

test-fast: .venv/.ready ## Run the unit tests only
	@echo "test: running the unit tests"
	@$(BIN)/python -m pytest tests/unit $(ARGS)

lint: .venv/.ready ## Check style, import contracts and types
	@echo "lint: ruff"
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .
	@echo "lint: import contracts"
	@$(BIN)/lint-imports --no-logo >/dev/null || $(BIN)/lint-imports
	@echo "lint: mypy --strict"
	@$(BIN)/mypy $(PACKAGES) tests

format: .venv/.ready ## Format the code
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

lock: .venv/.ready ## Renew requirements.lock from pyproject.toml
	@echo "lock: resolving"
	@$(BIN)/python -m uv pip compile -q --universal --generate-hashes --python-version 3.11 --extra train --extra dev --no-emit-index-url -o requirements.lock pyproject.toml

evaluate: .venv/.ready ## Measure the model on all test files and write docs/model-card.md (ARGS="--data FOLDER")
	@echo "evaluate: measuring on every test file; known figures are read from .cache/evaluate"
	@$(BIN)/tocsin model-card $(ARGS)

bench: .venv/.ready ## Run the benchmarks and update docs/performance.md, an hour (ARGS="--data FOLDER --only classify")
	@./tests/install
	@echo "bench: measuring; run nothing else on this machine meanwhile"
	@$(BIN)/tocsin bench all $(ARGS)

soak: .venv/.ready ## Inject random faults into a complete installation (SECONDS=1200 SEED=7 ARGS="--embedded")
	@./tests/install
	@echo "soak: $(SECONDS) s of faults; the last line is the result as JSON"
	@$(BIN)/python -m tests.soak --seconds $(SECONDS) $(if $(SEED),--seed $(SEED)) $(ARGS)

screenshots: .venv/.ready ## Render every page of the dashboard, light and dark, to docs/pictures
	@echo "screenshots: opening every page in chromium, with invented news"
	@$(BIN)/python -m tests.browser.screenshots docs/pictures

clean: ## Remove generated files, including .venv
	@rm -rf .venv .cache .mypy_cache .ruff_cache .pytest_cache build dist
