# Everything runs in .venv, made on first use with the versions of constraints.txt.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: help demo test test-slow check bench format clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

demo: .venv/train ## make virtual singers and take them from audio to a map (minutes)
	$(BIN)/singerid demo -o singerid_demo

test: .venv/dev ## run the tests (three minutes on two cores)
	$(BIN)/python -m pytest -n 2 --dist worksteal

test-slow: .venv/dev ## run the tests with browsers, servers and killed processes
	$(BIN)/python -m pytest -n 2 --dist worksteal -m slow

check: .venv/dev ## format, lint and types
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/mypy

bench: .venv/dev ## speed against references, in one run
	$(BIN)/python benchmarks/bench.py

format: .venv/dev ## format and fix what can be fixed
	$(BIN)/ruff format src tests benchmarks
	$(BIN)/ruff check --fix src tests benchmarks

clean: ## remove the environment and what demo and tests left
	rm -rf .venv singerid_demo .pytest_cache .mypy_cache .ruff_cache .hypothesis

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/train: .venv/bin/python pyproject.toml constraints.txt
	$(PIP) -e '.[train,world]'
	@touch $@

.venv/dev: .venv/bin/python pyproject.toml constraints.txt
	$(PIP) -e '.[dev]'
	@touch $@ .venv/train
