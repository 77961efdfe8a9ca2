# `make env` once, then `make test`. Everything is made inside .venv, build/, dist/ and out/.
#
# PYTHON      the interpreter that .venv is made from (3.11 or later)
# PIP_FLAGS   more options for every pip call, such as an index of CPU builds of torch
PYTHON ?= python3
PIP_FLAGS ?=

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
INSTALL := $(PIP) install --quiet $(PIP_FLAGS) -c constraints.txt
STAMP := .venv/.env-stamp
BENCH_STAMP := .venv/.bench-stamp
ROOT := $(CURDIR)

.DEFAULT_GOAL := help
.PHONY: help env demo test test-slow lint format types bench-env wheel-smoke examples clean
SHELL := bash
.SHELLFLAGS := -euo pipefail -c

help:  ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  \1\t\2/' | expand -t 16

env: $(STAMP)  ## Make .venv with snnsim (editable) and the tools, at the pinned versions

# torch goes first and alone: a CPU build that is already there is not replaced by one that draws in CUDA.
$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(INSTALL) torch==2.13.0
	$(INSTALL) -e '.[dev]'
	touch $@

demo: env  ## Run the demonstration into out/demo
	mkdir -p out
	$(BIN)/snnsim demo --out out/demo

test: env  ## Run the tests but the slow ones
	$(BIN)/pytest -n 2 --dist loadfile -m "not slow"

test-slow: env  ## Run the slow tests
	$(BIN)/pytest -n 2 --dist load -m slow

lint: env  ## Check style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: env  ## Put the style right where ruff can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# On an installed copy: from the root, mypy does not see the mapped folders and reports a false success.
types: env  ## Check types on an installed copy
	@rm -rf build
	@copy=$$(mktemp -d); trap 'rm -rf "$$copy" "$(ROOT)/build"' EXIT; \
	$(INSTALL) --no-deps --target "$$copy" . ; \
	cd "$$copy" && "$(ROOT)/$(BIN)/mypy" --config-file "$(ROOT)/pyproject.toml" --cache-dir "$(ROOT)/.mypy_cache" -p snnsim

bench-env: $(BENCH_STAMP)  ## Add the peer simulators that bench/ compares with

# sinabs goes without its dependencies: one of them, samna, runs pip when it is imported. Brian2 2.9 does not go with
# NumPy 2.4, so it has an environment of its own, which bench/simulators.py finds.
$(BENCH_STAMP): $(STAMP)
	$(INSTALL) -e '.[bench]'
	$(INSTALL) pbr
	$(INSTALL) --no-deps sinabs
	test -x .venv-brian2/bin/python || $(PYTHON) -m venv .venv-brian2
	.venv-brian2/bin/python -m pip --disable-pip-version-check install --quiet $(PIP_FLAGS) brian2==2.9.0 'numpy<2.4' -e .
	test -x .venv-lauscher/bin/python || $(PYTHON) -m venv .venv-lauscher
	.venv-lauscher/bin/python -m pip --disable-pip-version-check install --quiet $(PIP_FLAGS) lauscher==1.0.1
	touch $@

wheel-smoke: env  ## Build the wheel, install it alone in a fresh environment, use it from elsewhere
	rm -rf build dist
	$(BIN)/python -m build --wheel >/dev/null
	@place=$$(mktemp -d); trap 'rm -rf "$$place" "$(ROOT)/build"' EXIT; \
	$(BIN)/python -m venv "$$place/venv"; \
	"$$place/venv/bin/python" -m pip --disable-pip-version-check install --quiet $(PIP_FLAGS) -c constraints.txt dist/*.whl; \
	cp .ci/wheel_smoke.py "$$place/"; cd "$$place"; \
	venv/bin/python wheel_smoke.py; \
	venv/bin/snnsim --version

examples: env  ## Run each numbered example in a folder of its own
	@found=0; for example in examples/[0-9]*.py; do \
	  test -e "$$example" || continue; found=$$((found + 1)); \
	  echo "-- $$example"; place=$$(mktemp -d); begin=$$SECONDS; \
	  ( cd "$$place" && MPLBACKEND=Agg "$(ROOT)/$(BIN)/python" "$(ROOT)/$$example" </dev/null ) \
	    || { echo "FAILED: $$example"; rm -rf "$$place"; exit 1; }; \
	  rm -rf "$$place"; echo "   $$((SECONDS - begin)) s"; \
	done; echo "$$found examples ran"

clean:  ## Remove what was built, except .venv, .venv-brian2 and .venv-lauscher
	rm -rf build dist out *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
	find snnsim backends datasets examples bench tests -name __pycache__ -type d -prune -exec rm -rf {} +
