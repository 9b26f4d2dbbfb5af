# Two commands do everything: `make up` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BENCH ?= all
MINUTES ?= 10
TEST_ARGS ?=

.PHONY: help up down status test programs unit e2e lint bench bad-day lock generate coverage-page clean

help:
	@echo "make up      install what is missing, start a one-node cluster, run the demo"
	@echo "make test    everything: lint, types, layers, unit to end-to-end tests"
	@echo "make down    stop the cluster and leave the host as it was"
	@echo "make status  what runs"
	@echo "make bad-day hosts, links, disks and members of etcd fail under load, for MINUTES=10"
	@echo "make bench   measure (BENCH=api|store|watch|scheduler|kubelet|proxy|dns|network|hosts|scale|memory for one group)"

# The venv is made once and again whenever the locked requirements change.
$(VENV)/.runtime: requirements/runtime.txt pyproject.toml
	@scripts/make_venv "$(PYTHON)" "$(VENV)" requirements/runtime.txt
	@touch $@

$(VENV)/.test: requirements/test.txt pyproject.toml
	@scripts/make_venv "$(PYTHON)" "$(VENV)" requirements/test.txt
	@touch $@ $(VENV)/.runtime

up: $(VENV)/.runtime
	@$(BIN)/tiphys up

down:
	@if [ -x $(BIN)/tiphys ]; then $(BIN)/tiphys down; fi

status:
	@$(BIN)/tiphys status

test: $(VENV)/.test lint programs
	@$(BIN)/python -m pytest $(TEST_ARGS)

# What tests need of the host: as root it is installed, else those tests are skipped by name.
programs: $(VENV)/.test
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then $(BIN)/python scripts/install_test_programs.py; fi

unit: $(VENV)/.test
	@$(BIN)/python -m pytest tests/unit tests/property tests/contract tests/simulation tests/house $(TEST_ARGS)

e2e: $(VENV)/.test
	@$(BIN)/python -m pytest tests/e2e $(TEST_ARGS)

lint: $(VENV)/.test
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: $(VENV)/.test
	@$(BIN)/python -m bench $(BENCH)

# docs/api-coverage.md: the official client's operations and what they were answered.
coverage-page: $(VENV)/.test
	@TIPHYS_WRITE_COVERAGE=1 $(BIN)/python -m pytest -q tests/conformance/coverage

bad-day: $(VENV)/.test programs
	@$(BIN)/python scripts/bad_day.py --minutes $(MINUTES)

lock:
	@$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header pyproject.toml -o requirements/runtime.txt
	@$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --extra test pyproject.toml -c requirements/runtime.txt -o requirements/test.txt
	@$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header requirements/operators.in -o requirements/operators.txt

generate: $(VENV)/.test
	@$(BIN)/python scripts/generate_api_types.py
	@$(BIN)/python scripts/generate_protobuf_numbers.py

clean: down
	@rm -rf $(VENV) .cache build dist src/*.egg-info
