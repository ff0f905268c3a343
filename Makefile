# Every target works on a fresh checkout: what it needs (.venv, packages) it makes first.
# Python 3.10+ and Java 17+ must be on the machine; scripts/check_java.sh says how to get Java.
SHELL := /bin/bash
VENV := .venv
PY := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed
NATIVE := $(VENV)/.native
READY := $(INSTALLED) $(NATIVE)
PYTEST := $(PY) -m pytest
# For `make soak` and `make fuzz`; SEED=<number> repeats a run.
MINUTES ?= 10
SECONDS := 60
# pyspark 4.0 leaves sockets to the garbage collector.
OLD_SPARK_WARNINGS := -W ignore::ResourceWarning -W ignore::pytest.PytestUnraisableExceptionWarning

.PHONY: help setup native java demo test unit property spark fault crash localstack notebooks lint fmt types layers docs docs-site docs-serve compat compat-all soak fuzz bench bench-quick bench-peers wheel smoke check clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

$(INSTALLED): pyproject.toml scripts/make_venv.sh
	@scripts/make_venv.sh $(VENV) '.[dev]'
	@touch $@

# Without a Rust tool chain this says so and goes on: the Python way decodes the same rows.
$(NATIVE): $(INSTALLED) scripts/native.sh $(wildcard native/*.toml native/Cargo.lock native/src/*.rs)
	@scripts/native.sh install $(VENV)
	@touch $@

setup: $(READY) ## Make .venv with everything that development needs

native: $(INSTALLED) ## Build the native decoder into .venv (needs a Rust tool chain)
	@KINESIS_SOURCE_REQUIRE_NATIVE=1 scripts/native.sh install $(VENV)
	@touch $(NATIVE)

java:
	@scripts/check_java.sh

demo: $(INSTALLED) java ## Show the main job: a stream of another account, live in a table
	@$(PY) -m kinesis_source.cli.main demo

test: $(READY) java ## Run the tests, but for faults, crashes and the soak
	@$(PYTEST) -n 2 tests/unit tests/contract tests/property
	@$(PYTEST) -n 2 --dist loadfile tests $(addprefix --ignore=tests/,unit contract property fault crash)

unit: $(READY) ## Run the tests that need no Java
	@$(PYTEST) tests/unit tests/contract

property: $(READY) ## Run the generated histories
	@$(PYTEST) tests/property

spark: $(READY) java ## Run the tests on real Spark and the embedded emulator
	@$(PYTEST) tests/spark

fault: $(READY) java ## Run the source under every fault that the emulator knows
	@$(PYTEST) -n 2 tests/fault -m "" --ignore=tests/fault/test_strict_limits.py
	@# Rates are measured, and no call may be refused: nothing else runs meanwhile.
	@$(PYTEST) tests/fault/test_strict_limits.py -m ""

crash: $(READY) java ## Kill drivers, executors and Python workers, again and again
	@$(PYTEST) tests/crash

localstack: $(READY) java ## Run the tests against LocalStack, and the emulators' parity
	@$(PYTEST) tests/localstack tests/parity

notebooks: $(READY) java ## Execute the notebooks
	@$(PYTEST) tests/notebooks

compat: java ## Run the Spark tests on the oldest supported pyspark
	@scripts/make_venv.sh .venv-spark40 '.[dev]' 'pyspark==4.0.*'
	@.venv-spark40/bin/python -m pytest -n 2 --dist loadfile $(OLD_SPARK_WARNINGS) tests/spark

compat-all: java ## Run the Spark tests on Spark 4.0 to 4.3 and Python 3.10 to 3.13, as far as they are here
	@scripts/compat_all.sh

soak: $(READY) java ## Run a query for MINUTES=10 under faults, resharding and kill -9
	@$(PY) tests/soak/soak.py --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

fuzz: $(READY) ## Look for SECONDS=60 for replies that the native decoder takes in another way
	@$(PY) -m tests.fuzz.fuzz_decoder --seconds $(SECONDS) $(if $(SEED),--seed $(SEED))

bench: $(READY) java ## Measure everything; a table, and bench/results/full.json
	@$(PY) -m bench.run

bench-peers: $(READY) java ## Compare with other connectors; a table, and bench/results/peers.json
	@$(PY) -m bench.peers.run

bench-quick: $(READY) java ## Measure the same with less data; bench/results/quick.json
	@$(PY) -m bench.run --quick

lint: $(INSTALLED) ## Check style
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/ruff check .
	@scripts/native.sh lint

fmt: $(INSTALLED) ## Format
	@scripts/native.sh fmt
	@$(VENV)/bin/ruff format .
	@$(VENV)/bin/ruff check --fix .

types: $(INSTALLED) ## Check types
	@$(VENV)/bin/mypy

layers: $(INSTALLED) ## Check that imports go one way
	@$(VENV)/bin/lint-imports

docs: $(INSTALLED) ## Write the generated parts of the documentation
	@$(PY) scripts/generate_option_docs.py
	@$(PY) scripts/generate_performance_docs.py

docs-site: $(INSTALLED) ## Build the documentation as a site, into site/; a warning is an error
	@NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs --quiet build --clean

docs-serve: $(INSTALLED) ## Show the documentation on loopback while it is written
	@NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs serve --dev-addr 127.0.0.1:8000

wheel: $(INSTALLED) ## Build the wheel, and the native decoder's where a Rust tool chain is
	@$(PY) -m pip wheel --quiet --no-deps --wheel-dir dist .
	@scripts/native.sh wheel $(VENV)

smoke: ## Build sdist and wheel, install each into a clean environment, and try it
	@scripts/smoke_wheel.sh

check: lint types layers test ## What CI runs

clean: ## Remove what the other targets made
	rm -rf .venv .venv-spark40 .venv-py3.* .localstack artifacts site spark-warehouse dist build native/target
