# Everything runs in .venv, made on first use with the versions of constraints.txt.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

TOOLS := .venv/tools/bin
WITH_TOOLS := PATH=$(CURDIR)/$(TOOLS):$$PATH $(TOOLS)/python

# Debian's packages that slow tests need: a browser, and what the documentation calls.
SYSTEM := chromium curl

.PHONY: help demo system test test-slow check bench format clean release lock audit licenses matrix containers docs

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

demo: .venv/train ## make virtual singers and take them from audio to a map (minutes)
	$(BIN)/singerid demo -o singerid_demo

system: ## install the Debian packages that slow tests need (as root)
	dpkg --status $(SYSTEM) >/dev/null 2>&1 || { apt-get update -qq && \
		apt-get install -qq --yes --no-install-recommends $(SYSTEM) >/dev/null; }

test: .venv/dev ## run the tests (three minutes on two cores)
	$(BIN)/python -m pytest -n 2 --dist worksteal

test-slow: .venv/dev ## run the tests with browsers, servers and killed processes
	$(BIN)/python -m pytest -n 2 --dist worksteal -m slow

check: .venv/dev ## format, lint and types
	$(BIN)/ruff format --check src tests benchmarks release
	$(BIN)/ruff check src tests benchmarks release
	$(BIN)/mypy

bench: .venv/dev ## speed against references, in one run
	$(BIN)/python benchmarks/bench.py

format: .venv/dev ## format and fix what can be fixed
	$(BIN)/ruff format src tests benchmarks release
	$(BIN)/ruff check --fix src tests benchmarks release

release: .venv/tools ## build twice, compare, install by hash, verify, list licenses and parts (two minutes)
	$(TOOLS)/python release/lock.py --check
	$(TOOLS)/python release/reproduce.py
	$(TOOLS)/python release/smoke.py .venv/clean
	.venv/clean/bin/python release/licenses.py
	$(TOOLS)/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible --validate \
		--output-file dist/singerid.cdx.json .venv/clean/bin/python

lock: .venv/tools ## write the lock files anew, with the versions of constraints.txt
	$(WITH_TOOLS) release/lock.py

audit: .venv/tools ## known vulnerabilities of the locked packages (needs the registry's advisories)
	$(TOOLS)/python release/audit.py

licenses: .venv/dev .venv/tools .venv/docs ## licenses of everything installed; fails on one that is not permissive
	$(BIN)/python release/licenses.py
	$(BIN)/python release/licenses.py --path .venv/tools/lib/python3*/site-packages
	$(BIN)/python release/licenses.py --path .venv/docs/lib/python3*/site-packages

matrix: .venv/tools ## tests with each Python and the oldest and locked dependencies (an hour)
	$(WITH_TOOLS) release/matrix.py

containers: .venv/tools ## lint the Dockerfile
	$(TOOLS)/hadolint Dockerfile

docs: .venv/train .venv/docs ## the documentation site in build/site; fails on any warning
	$(BIN)/python docsite/stage.py build/docs
	rm -rf build/site && .venv/docs/bin/zensical build --clean --strict
	$(BIN)/python docsite/settle.py build/site

clean: ## remove the environment and what demo and tests left
	rm -rf .venv dist build singerid_demo .pytest_cache .mypy_cache .ruff_cache .hypothesis

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/train: .venv/bin/python pyproject.toml constraints.txt
	$(PIP) -e '.[train,world]'
	@touch $@

.venv/dev: .venv/bin/python pyproject.toml constraints.txt
	$(PIP) -e '.[dev]'
	@touch $@ .venv/train

.venv/tools: release/tools.lock
	$(PYTHON) -m venv --clear $@
	$@/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r release/tools.lock

.venv/docs: docsite/requirements.txt
	$(PYTHON) -m venv --clear $@
	$@/bin/python -m pip install --quiet --disable-pip-version-check -r docsite/requirements.txt
