# planstream: every command sets up what it needs. `make` alone lists them.

.DEFAULT_GOAL := help
export PYTHON
.PHONY: help setup demo test check lint docs chaos fuzz bench compiled coverage lock \
  lock-jars clean

VENV := .venv
BIN := $(VENV)/bin
LOCKED := $(VENV)/.locked
READY := $(VENV)/.ready
CODE := $(wildcard schemas agents streams tests benchmarks examples tools)
COPY := .cache/compiled
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input --quiet

unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV

# make bench COMPILED=1, and so test, check, chaos and fuzz: with the folds compiled to C.
# Files that ARGS name are in the copy then, unless by their whole path.
FIRST :=
IN :=
ON :=
ifneq ($(filter-out 0,$(COMPILED)),)
FIRST := compiled
IN := cd $(COPY) &&
ON := PYTHONSAFEPATH=1 PYTHONPATH=$(CURDIR)/$(COPY)
endif

help: ## List these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

demo: setup ## Start a broker, a coordinator and workers here, and run plans on them
	@$(BIN)/planstream demo $(ARGS)

test: lint $(FIRST) ## Check everything, on a real Kafka broker too
	@$(IN) $(CURDIR)/$(BIN)/pytest $(ARGS)

check: lint $(FIRST) ## Check what can be checked without a broker
	@$(IN) $(CURDIR)/$(BIN)/pytest -m "not broker" $(ARGS)

lint: setup ## Run the linters and type checkers alone
	@$(BIN)/ruff check $(CODE)
	@$(BIN)/ruff format --check $(CODE)
	@$(BIN)/mypy $(CODE)
	@$(BIN)/pyright --pythonpath $(BIN)/python
	@$(BIN)/lint-imports --no-logo

docs: setup ## Make the generated parts of docs/ anew
	@$(BIN)/python -m tools.docs

chaos: setup $(FIRST) ## Do all faults under load, and check (SECONDS=1900 SEED=7 REPORT=run.json)
	@$(IN) PLANSTREAM_CHAOS_SECONDS=$(SECONDS) PLANSTREAM_CHAOS_SEED=$(SEED) \
	  PLANSTREAM_CHAOS_RATE=$(RATE) PLANSTREAM_CHAOS_BROKERS=$(BROKERS) \
	  PLANSTREAM_CHAOS_PARTITIONS=$(PARTITIONS) \
	  PLANSTREAM_CHAOS_REPORT=$(abspath $(REPORT)) \
	  $(CURDIR)/$(BIN)/pytest tests/chaos/test_chaos.py --capture=no --show-capture=no $(ARGS)

fuzz: setup $(FIRST) ## Throw mutated records at a coordinator (RECORDS=100000 SEED=7)
	@$(IN) PLANSTREAM_FUZZ_RECORDS=$(RECORDS) PLANSTREAM_FUZZ_SEED=$(SEED) \
	  $(CURDIR)/$(BIN)/pytest tests/fuzz --capture=no --show-capture=no $(ARGS)

bench: setup $(FIRST) ## Measure all that has a target, 25 minutes (ARGS="--quick --markdown a.md")
	@$(ON) $(BIN)/python -m benchmarks all $(ARGS)

compiled: $(COPY)/.compiled ## Compile the folds to C, in a copy: make bench COMPILED=1 uses it

# Made anew after any change, and not while something runs in it.
$(COPY)/.compiled: $(READY) $(wildcard *.*) $(shell find $(CODE) docs -type f ! -name '*.pyc')
	@echo "Compiling the folds into $(COPY) (about a minute)"
	@$(BIN)/python -m tools.compile $(COPY)
	@touch $@

coverage: setup ## Say which lines and branches the tests without a broker miss
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest -m "not broker" $(ARGS)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report

lock: ## Make constraints.txt anew (ARGS=--upgrade for the newest versions)
	@tools/lock.sh $(ARGS)

lock-jars: setup ## Make the lock of the embedded broker's jars anew
	@$(BIN)/python -m tools.lock_jars

clean: ## Remove all that these commands made in this directory
	@rm -rf $(VENV) .cache .coverage .coverage.* .hypothesis .import_linter_cache \
	  .mypy_cache .pytest_cache .ruff_cache dist htmlcov planstream-demo
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

setup: $(READY)

# Made anew whenever the lock changes; pip checks every download against its hashes.
$(LOCKED): constraints.txt
	@python=$$(tools/find-python.sh) || exit 1; \
	  echo "Setting up $(VENV) with $$($$python --version) (about half a minute)"; \
	  $$python -m venv --clear $(VENV)
	@$(PIP) install --require-hashes -r constraints.txt
	@touch $@

# The project itself goes in last, in place, with nothing left to resolve.
$(READY): $(LOCKED) pyproject.toml
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@
