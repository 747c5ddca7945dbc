# What a newcomer and a build machine need; every target does its own set-up first.
# Silent, and all of the set-up on stderr: `make demo ARGS="--once --json" >report.json` is one JSON document.

.DEFAULT_GOAL := help
.PHONY: help setup demo test check bench campaign tables lock clean

BIN := .venv/bin
ARGS ?=

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' Makefile
	@echo 'ARGS="…" is handed on to the command of demo, test, bench, campaign and lock.'

setup: ## .venv with the tongfa command, and the Debian packages it needs
	@scripts/setup.sh

demo: setup ## one sample item, published everywhere in sandboxes
	@$(BIN)/tongfa demo $(ARGS)

check: setup ## the quick part of test: format, lint, types, imports
	@$(BIN)/ruff format --check --output-format concise . || { echo 'mend with: $(BIN)/ruff format .' >&2; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

# These judge instants by the millisecond: other tests beside them would be what is measured.
ALONE = tests/acceptance/test_timing.py tests/acceptance/test_restart.py

test: check ## everything that must hold, up to 20 minutes
	@$(BIN)/pytest $(ALONE) $(ARGS)
	@$(BIN)/pytest --ignore=tests/live $(ALONE:%=--ignore=%) -n 3 --dist loadfile --no-loadscope-reorder $(ARGS)

bench: setup ## the speed targets, measured here: eight minutes, ARGS=--quick three
	@$(BIN)/python -m tests.benchmarks.skew $(ARGS)

campaign: setup ## every fault in full: hours, goes on where it ended; ARGS="--minutes 30 --write"
	@$(BIN)/python -m tests.campaign $(ARGS)

tables: setup ## the tables in the READMEs, anew from the code
	@$(BIN)/python scripts/tables.py

# ARGS=--upgrade takes the newest versions; without it only what the .in files ask for changes.
lock: ## requirements/*.txt anew from requirements/*.in
	@scripts/lock.sh $(ARGS)

clean: ## removes .venv and caches; never the data in var/
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
