# globalconv: `make help` lists what there is. Everything runs in .venv, which `make` creates on demand.

VENV ?= .venv
BIN := $(VENV)/bin
SOURCES := src tests benchmarks
# More options for pytest, e.g. make unit ARGS="-k network -m 'not slow'"
ARGS ?=

# Folder that holds the real data sets (CamVid/, MSRC21/, voc-sample/); what needs them is skipped where it is absent.
GLOBALCONV_DATA ?= ../shared/data
export GLOBALCONV_DATA

# The first of these that is Python >= 3.11 and can make virtual environments.
PYTHONS := $(PYTHON) python3 python3.13 python3.12 python3.11 python
USABLE := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup demo test lint types unit bench format clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(VENV)/.installed ## create .venv and install the package with its pinned requirements

$(VENV)/.installed: pyproject.toml constraints.txt
	@[ -x $(BIN)/pip ] || { \
	  for python in $(PYTHONS); do \
	    "$$python" -c '$(USABLE)' 2>/dev/null && echo "Creating $(VENV) with $$("$$python" --version)" && \
	    "$$python" -m venv $(VENV) && touch $(VENV)/.made-by-make && exit 0; \
	  done; \
	  echo "make setup: no Python >= 3.11 with venv found (tried: $(strip $(PYTHONS))); install one or say make PYTHON=/path/to/python3.12" >&2; \
	  exit 1; }
	@echo "Installing into $(VENV): PyTorch is several GB, so the first time takes minutes"
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e ".[dev,log,pretrained]"
	@touch $@

demo: setup ## train Baseline and GCN + BR on generated scenes, compare both in a report
	$(BIN)/globalconv demo

test: setup lint types unit ## everything that continuous integration runs

lint: setup ## style: ruff check and ruff format --check
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)

types: setup ## types: mypy --strict
	$(BIN)/mypy

unit: export HF_HUB_OFFLINE = 1
unit: export OMP_NUM_THREADS = 1
unit: setup ## the tests, two at a time, one thread each; ARGS="..." goes to pytest
	$(BIN)/pytest -n 2 --dist loadfile $(ARGS)

bench: setup ## the quick benchmarks; figures go to benchmarks/results/ and docs/benchmarks.md
	$(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt -e ".[bench]"
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/loader.py
	$(BIN)/python benchmarks/scenes.py
	$(BIN)/python benchmarks/training_step.py --peers
	$(BIN)/python benchmarks/network_over_backbone.py --peers
	$(BIN)/python benchmarks/heads.py
	$(BIN)/python benchmarks/step_memory.py
	$(BIN)/python benchmarks/tiles.py
	$(BIN)/python benchmarks/predict.py
	$(BIN)/python benchmarks/table.py

format: setup ## rewrite the sources in the one style
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

clean: ## remove what make created: .venv, caches, build products (never runs/)
	@[ ! -e $(VENV)/.made-by-make ] || rm -rf $(VENV)
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis build src/globalconv.egg-info
	find $(SOURCES) -name __pycache__ -type d -prune -exec rm -rf {} +
