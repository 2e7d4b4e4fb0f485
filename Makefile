# `make help` lists what there is. Nothing is needed but make, git and Python 3.11 or later.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin

# A stamp is named after the content that it was made from: a changed lock is never overlooked, whatever file times say.
checksum = $(shell cat $(1) pyproject.toml | cksum | tr -s ' ' '-')
RUNTIME := $(VENV)/installed-$(call checksum,requirements.lock)
DEVELOPMENT := $(VENV)/installed-dev-$(call checksum,requirements-dev.lock)
INSTALL = $(BIN)/python -m pip install --disable-pip-version-check --quiet
COMPILE = $(BIN)/uv pip compile pyproject.toml --quiet --generate-hashes --universal --python-version 3.11 \
	--no-emit-index-url --no-header

# One more than there are cores: many tests wait for a process that starts, or for one that was killed to be missed.
WORKERS ?= 3

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev demo dev check test bench lock

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(RUNTIME) ## a virtual environment with the locked dependencies and `perennial` in it

setup-dev: $(DEVELOPMENT)

demo: setup ## the main job, start to end, on a real PostgreSQL and a real Temporal
	@$(BIN)/perennial demo

dev: setup ## the whole stack, staying up: API, console, worker, Temporal, PostgreSQL
	@$(BIN)/perennial dev

check: setup-dev ## what is quick: format, lint, types, imports, tests of the rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q -m "not slow" $(wildcard tests/domain tests/architecture)

test: setup-dev ## all tests, and who may import whom
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -n $(WORKERS)

bench: setup-dev ## how fast it is here
	$(BIN)/python -m bench

lock: setup-dev ## both locks anew from pyproject.toml, with hashes (UPGRADE=--upgrade: newest versions)
	$(COMPILE) $(UPGRADE) --output-file requirements.lock
	$(COMPILE) $(UPGRADE) --extra dev --constraints requirements.lock --output-file requirements-dev.lock

$(RUNTIME): | $(BIN)/python
	$(INSTALL) --require-hashes -r requirements.lock
	$(INSTALL) --no-deps --no-build-isolation -e .
	@rm -f $(VENV)/installed-*
	@touch $@

# The development lock pins all that the other does, at the same versions.
$(DEVELOPMENT): | $(BIN)/python
	$(INSTALL) --require-hashes -r requirements-dev.lock
	$(INSTALL) --no-deps --no-build-isolation -e .
	@rm -f $(VENV)/installed-*
	@touch $@ $(RUNTIME)

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or later is needed: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or later is needed, this is $$($(PYTHON) -V): make PYTHON=/path/to/python3" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }
