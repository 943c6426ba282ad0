# Every verb makes the virtual environment first, if it is not there.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: help setup demo check-tables check-results test test-all test-lowest coverage lint format check tables \
	benchmarks package clean
.DEFAULT_GOAL := help

help:
	@echo "make setup         virtual environment in $(VENV), installed from constraints.txt"
	@echo "make demo          train and evaluate DAR on the embedded suite, print where the result is"
	@echo "make test          tests, offline, under 4 minutes on 2 cores"
	@echo "make test-all      the slow ones too"
	@echo "make test-lowest   tests with the oldest versions that pyproject.toml allows, in .venv-lowest"
	@echo "make coverage      tests, and which lines none of them runs"
	@echo "make lint          ruff, mypy and typos"
	@echo "make tables        rebuild tables/ and leaderboard.md from results/"
	@echo "make check         lint, test, whether the generated files are fresh and the records valid"
	@echo "make results-mini  run everything that is committed under results/mini from nothing,"
	@echo "                   compare (234 runs, about 4 hours on 2 cores)"
	@echo "                   (or results-mini-xtail, results-mini-mtil: few-shot suites)"
	@echo "make package       sdist and wheel in dist/, each checked in an empty environment"
	@echo "make benchmarks    measure training, routing, recall, prompts, reading and whole runs beside"
	@echo "                   the strongest alternatives, write docs/performance.md (half an hour, idle)"

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: setup
	$(BIN)/cl-bench run --method dar --order forward --suite mini --output-dir demo

test: setup
	$(BIN)/python -m pytest -q -n auto --dist worksteal

test-all: setup
	$(BIN)/python -m pytest -q -n auto --dist worksteal -m "slow or not slow"

test-lowest:
	$(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/python -m pip install --quiet --disable-pip-version-check uv
	.venv-lowest/bin/uv pip compile --quiet --resolution lowest-direct --extra dev \
		--python .venv-lowest/bin/python --output-file .venv-lowest/lowest.txt pyproject.toml
	.venv-lowest/bin/python -m pip install --quiet --disable-pip-version-check \
		-c .venv-lowest/lowest.txt -e '.[dev]'
	.venv-lowest/bin/python -m pytest -q -n auto --dist worksteal

coverage: setup
	$(BIN)/python -m pytest -q -n auto --dist worksteal --cov --cov-report=term

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/typos

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

tables: setup
	$(BIN)/cl-bench tables

check: lint test check-tables check-results

check-tables: setup
	$(BIN)/cl-bench tables --check

check-results: setup
	$(BIN)/cl-bench validate

results-%: setup
	$(BIN)/python scripts/results.py $*

package:
	PYTHON=$(PYTHON) .ci/package

benchmarks: setup
	$(BIN)/python scripts/speed/performance.py

clean:
	rm -rf $(VENV) .venv-lowest scratch demo build dist *.egg-info .coverage .pytest_cache .mypy_cache \
		.ruff_cache
