# Two commands are all a newcomer needs: `make demo` and `make check`. Both set up .venv first.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   ?= .venv
BIN    := $(VENV)/bin
# One thread is the faster choice for the small models of samples and tests; nothing may reach for a hub.
export OMP_NUM_THREADS ?= 1
export HF_HUB_OFFLINE  ?= 1

# Files are divided among the cores in the order of their names: those with few but long tests must not come last.
TESTS  := -q --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

.PHONY: help demo check test bench schemas docs setup clean

help:
	@echo "make demo      set up $(VENV), tune, merge, quantize and evaluate the sample model"
	@echo "make check     set up $(VENV), then formatting, lint, types, import contracts and all tests"
	@echo "make test      the tests alone          make bench    the benchmarks"
	@echo "make schemas   rewrite schemas/         make docs     rewrite docs/passes/"
	@echo "make clean     remove $(VENV), caches and outputs"

demo: setup
	@$(BIN)/python samples/phrase_tone/demo.py

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest $(TESTS)

test: setup
	$(BIN)/pytest $(TESTS)

bench: setup
	$(BIN)/python -m benchmarks

schemas: setup
	$(BIN)/python -m olive_engine.config.schemas schemas

# The pages of docs/passes are made from the passes' own descriptions; the tests compare them, as they do schemas/.
docs: setup
	$(BIN)/python -m olive_engine.reporting.pages docs/passes

setup: $(VENV)/installed

# torch comes first and by itself: asked for by another package it may arrive as another build.
$(VENV)/installed: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "python3.11 is needed"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@echo "Installing torch into $(VENV) …"
	@$(BIN)/pip install --quiet --constraint constraints.txt torch
	@echo "Installing the rest into $(VENV), which takes a minute or two …"
	@$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[cpu,dev]"
	@touch $@

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .olive-cache samples/*/output samples/*/.olive-cache
