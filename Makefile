# Every target is one line; the first call of any of them sets up .venv from the lock file.
PYTHON ?= $(shell sh scripts/choose_python.sh)
BIN := .venv/bin
READY := .venv/.installed
# Three test files at a time, also on two cores: many wait more than they compute.
TOGETHER := -n 3 --dist loadfile --no-loadscope-reorder
# Tests start hundreds of processes, each of which would compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo up down jars test test-alone faults faults-events compile clean-compiled check proto fmt lock load load-ui bench profile wheel clean

demo: compile ## Tell a short story on a stack of its own, then stop it.
	$(BIN)/tender demo

up: compile ## Start the embedded stack (not for production).
	$(BIN)/tender up

down: compile ## Stop the embedded stack.
	$(BIN)/tender down

jars: $(READY) ## Fetch Apache Kafka once, for tests and `tender up --kafka apache`, where Java and Maven are.
	@$(BIN)/python -m deploy.local.kafka.jars

test: compile jars ## Run the tests against real servers, and accidents under load; under ten minutes.
	$(BIN)/python -m pytest --phase short $(TOGETHER) $(ARGS)
	$(BIN)/python -m pytest --phase faults

test-alone: compile jars ## Run what takes long, then what has the machine to itself: upgrades, accidents, mutants, load.
	$(BIN)/python -m pytest --phase long $(TOGETHER) $(ARGS)
	$(BIN)/python -m pytest --phase alone $(ARGS)

faults: compile ## Kill, pause and flush the parts of a large stack under load; `make faults ARGS="--seed 7 --faults 20"`.
	$(BIN)/python -m tests.faults $(ARGS)

faults-events: compile jars ## Kill brokers, relays and consumers under load, and compare what was told with the journals.
	$(BIN)/python -m tests.faults.events $(ARGS)

load: compile ## Load a stack of its own with Locust; `make load SCENARIO=pos_rush DURATION=60` for one scenario.
	$(BIN)/python -m loadtest $(SCENARIO) $(if $(DURATION),--duration $(DURATION)) $(ARGS)

load-ui: compile ## The same from Locust's web UI.
	$(BIN)/python -m loadtest --ui $(ARGS)

compile: $(READY) ## Compile the processor's hot modules, if a source changed; every target that runs code does.
	@$(BIN)/python -m scripts.compile

clean-compiled: $(READY) ## Remove what was compiled: `.venv/bin/python -m pytest` then runs plain Python.
	$(BIN)/python -m scripts.compile clean

wheel: compile ## Build the package into dist/, with what is compiled.
	$(BIN)/hatchling build --target wheel

check: $(READY) ## Run every static check; `make check ARGS=mypy` runs one.
	$(BIN)/python -m scripts.check $(ARGS)

proto: $(READY) ## Regenerate tender/v1 from proto/.
	$(BIN)/python -m scripts.stubs write

fmt: $(READY) ## Format Python, protos and imports in place.
	$(BIN)/ruff check --fix --select I . && $(BIN)/ruff format . && $(BIN)/buf format --write proto

lock: $(READY) ## Resolve pyproject.toml into requirements.lock anew.
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --all-extras --generate-hashes --custom-compile-command "make lock" --output-file requirements.lock pyproject.toml

bench: compile ## Measure on a stack of its own; `make bench ARGS=--quick` takes a minute.
	$(BIN)/tender bench $(ARGS)

profile: compile ## See where CPU time goes: flame graphs and tables of docs/performance.md.
	$(BIN)/python -m benchmarks.profile $(ARGS)

clean: ## Remove what the tools left behind; the stack's data and .venv stay.
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "Tender needs Python 3.11 or newer: make PYTHON=/path/to/python3 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@
