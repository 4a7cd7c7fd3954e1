# `make demo` and `make test` each set themselves up on a fresh machine: they need Python 3.11 to 3.13 and make.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test check docs bench

demo: .venv/installed  ## pre-train, train, evaluate and compare SSA-GAN with and without the method, small
	$(BIN)/python -m sclgan.experiments.demo demo

test: .venv/installed  ## the tests
	$(BIN)/python -m pytest -q -n auto

check: .venv/installed  ## lint, types, imports, spelling, documentation, tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell src tests docs scripts benchmarks README.md CONTRIBUTING.md CHANGELOG.md
	$(MAKE) docs
	$(MAKE) test

docs: .venv/installed  ## the documentation as a site, in site/index.html
	$(BIN)/zensical build --clean --strict

bench: .venv/installed  ## training steps, loading, packs, evaluation
	$(BIN)/python benchmarks/step.py
	$(BIN)/python benchmarks/published_sizes.py
	$(BIN)/python benchmarks/loading.py
	$(BIN)/python benchmarks/evaluation.py
	$(BIN)/python benchmarks/metrics.py

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@
