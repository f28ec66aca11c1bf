# Two commands for a user: `make demo` and `make test`. Each does all the set-up it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
PIP := $(BIN)/pip --disable-pip-version-check --quiet

.PHONY: demo test unit check soak setup setup-test debian-packages clean help wheel
.DEFAULT_GOAL := help

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 22

demo: setup ## a simulated Krios with two cameras, processed live; the page on 127.0.0.1
	$(BIN)/passerelle demo $(ARGS)

test: setup-test debian-packages ## set up, check the code, pass all tests
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m tests.run $(ARGS)

unit: setup-test ## the unit tests only (seconds)
	$(BIN)/python -m pytest -q --numprocesses=auto --dist=loadfile tests/unit $(ARGS)

check: setup-test ## style, types and the floors of the house
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/pyright && $(BIN)/lint-imports

setup: $(VENV)/.installed
setup-test: $(VENV)/.installed-test

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "passerelle needs Python 3.11 or newer; found $$($(PYTHON) --version). Set PYTHON=…"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv; } || { echo "Python's venv module is missing: install the Debian package python3-venv, then run make again."; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt $(BIN)/python
	$(PIP) install -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(PIP) install -c constraints.txt -e '.[test]'
	@touch $@

# Debian packages that system tests need; without root those tests are skipped, with the reason.
debian-packages:
	@sh tests/debian_packages.sh

bench-%: setup-test debian-packages ## one goal, this project and a peer side by side: make bench-preprocess ARGS="--quick --json FILE"
	$(BIN)/python -m bench.$(subst -,_,$*) $(ARGS)

soak: setup-test debian-packages ## the faults of the copy and the fuzzed requests, many times more of each (two hours)
	PASSERELLE_SOAK_CUTS=1000 PASSERELLE_SOAK_KILLS=5000 PASSERELLE_SOAK_SERVICE_KILLS=1000 PASSERELLE_SOAK_FLIPS=4400 PASSERELLE_SOAK_SCHEDULES=5000 PASSERELLE_SOAK_RACES=1000000 PASSERELLE_SOAK_FILES=1000000 PASSERELLE_SOAK_HOLE_GIB=1024 PASSERELLE_SOAK_REQUESTS=1000000 PASSERELLE_FUZZ_SEED=$$(date +%s) \
	  PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest -q -s -o timeout=7200 tests/crash -k "transfer or fuzzed or send_kill" $(ARGS)

wheel: setup-test ## build the wheel, assets bundled
	$(PIP) install build && $(BIN)/python -m build --wheel

clean: ## remove what make made (never data)
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache
