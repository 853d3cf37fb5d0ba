# Everything runs in .venv, which is made when it is needed. PYTHON=… chooses the interpreter.
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
SOURCES := $(shell find cjledger hooks -name '*.py' -o -name '*-receive') docs/git-cj.1
# The developers' environment also serves the demo; otherwise the demo installs as a person would.
DEMO := $(if $(wildcard $(VENV)/dev-installed),$(VENV)/dev-installed,$(VENV)/demo-installed)

# Most tests wait for others: for schedulers, servers, lines that are slow on purpose.
TEST_PROCESSES := $(shell expr 2 '*' $$(getconf _NPROCESSORS_ONLN) '|' 2)

.DEFAULT_GOAL := help
.PHONY: help demo test lint bench clean

help:  ## This list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | sort | awk -F '\t' '{ printf "make %-7s %s\n", $$1, $$2 }'

demo: $(DEMO)  ## The 441-task phase transition on this machine, about three minutes; leaves .venv and .demo
	@BIN="$(CURDIR)/$(BIN)" sh examples/demo.sh

test: $(VENV)/dev-installed  ## The tests; SLOW=1 for all of them, ARGS='-k word' for some
	@$(BIN)/python -m tests.clusters install
	$(BIN)/python -m pytest -n $(TEST_PROCESSES) $(if $(SLOW),,-m "not slow") $(ARGS)

lint: $(VENV)/dev-installed  ## Style, types and layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/dev-installed  ## The benchmarks; writes docs/benchmarks.md
	$(BIN)/python benchmarks/run.py

clean:  ## Remove all that was made here
	@test ! -d .demo || chmod -R u+w .demo
	rm -rf $(VENV) .demo .clusters .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist build
	find . -name __pycache__ -prune -exec rm -rf {} +

$(BIN)/python:
	@python=$$(.ci/find-python) && echo "$(VENV): made with $$python" && "$$python" -m venv $(VENV)

$(VENV)/dev-installed: requirements-dev.txt pyproject.toml | $(BIN)/python
	@echo "$(VENV): installing cjledger and what its tests need"
	@$(PIP) install -r requirements-dev.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@mkdir -p $(VENV)/share/man/man1 && ln -sf ../../../../docs/git-cj.1 $(VENV)/share/man/man1/git-cj.1
	@touch $@

$(VENV)/demo-installed: requirements-dev.txt pyproject.toml $(SOURCES) | $(BIN)/python
	@echo "$(VENV): installing cjledger, numpy, scipy and matplotlib"
	@$(PIP) install --constraint requirements-dev.txt . numpy scipy matplotlib
	@touch $@
