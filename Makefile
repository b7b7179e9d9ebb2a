# Two commands always work on a bare machine with Python 3.11: `make demo` and `make test`.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin

.PHONY: setup demo test test-slow check lint types docs format benchmark screenshots

setup: .venv/.ready

# each module is compiled when it is first imported: most of the 18,000 never are
.venv/.ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --no-compile --quiet --disable-pip-version-check -c constraints.txt -e ".[fast,data,doom,atari,minatar,sweeps,cluster,web,export,wandb,tensorboard,docs,dev]"
	touch $@

demo: setup
	$(BIN)/python -m world_models.main stage=pipeline experiment=demo

test: setup
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

test-slow: setup
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest -m slow -n auto --dist loadgroup

check: lint types docs

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports

types: setup
	$(BIN)/mypy

docs: setup
	$(BIN)/sphinx-build -W --keep-going -n -q -E -a -j auto -d docs/_build/doctrees -c docs . docs/_build/html

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

benchmark: setup
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[bench]"
	$(BIN)/python -m benchmarks.training
	$(BIN)/python -m benchmarks.controller
	$(BIN)/python -m benchmarks.memory
	$(BIN)/python -m benchmarks.kept_heap
	$(BIN)/python -m benchmarks.pixel
	$(BIN)/python -m benchmarks.dream
	$(BIN)/python -m benchmarks.play
	$(BIN)/python -m benchmarks.rem
	$(BIN)/python -m benchmarks.spawn
	$(BIN)/python -m benchmarks.torchrun

screenshots: setup
	$(BIN)/python -m benchmarks.screenshots
