# Two commands do all: `make demo` and `make test`. Nothing but Python >= 3.11 and make is needed.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint bench-features bench-accuracy clean

demo: .venv/demo
	$(BIN)/python training/train.py configs/demo.yaml
	$(BIN)/cxpredict score --config configs/demo.yaml --model models:/demo-churn@champion --as-of 2026-01-01

# two processes of one thread each: no test may depend on another, or on the order
test: .venv/test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadgroup

lint: .venv/test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/demo: .venv/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

.venv/test: .venv/demo
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[test]"
	touch $@

# Featuretools needs an older pandas: an environment of its own, for benchmarks/features.py alone
.venv-peers: benchmarks/peers-constraints.txt
	$(PYTHON) -m venv $@
	$@/bin/python -m pip install --quiet --constraint $< featuretools pyarrow
	touch $@

bench-features: .venv/test .venv-peers
	$(BIN)/python benchmarks/features.py
	$(BIN)/python benchmarks/leaks.py

# CatBoost lives with us, AutoGluon in an environment of its own; without torch, so without its nets
.venv/peers: .venv/test
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[peers]"
	touch $@

.venv-autogluon: benchmarks/autogluon-constraints.txt
	$(PYTHON) -m venv $@
	$@/bin/python -m pip install --quiet --constraint $< "autogluon.tabular[lightgbm,catboost,xgboost]" pyarrow
	touch $@

bench-accuracy: .venv/peers .venv-autogluon
	$(BIN)/python benchmarks/accuracy.py

clean:
	rm -rf .venv .venv-peers .venv-autogluon .mypy_cache .pytest_cache .ruff_cache .hypothesis build *.egg-info
