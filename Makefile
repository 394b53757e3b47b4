# make demo   both tables on embedded scenes, from nothing    make test   the whole test suite
# Needs Python 3.11 or newer and make; everything else is installed into .venv.
PYTHON ?= python3.11
PROCESSES ?= 2
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test lint clean

demo: $(READY)
	$(BIN)/fuse-then compare demo
	@echo "Next        . $(BIN)/activate   (then all commands here work as they are written)"

test: $(READY)
	$(BIN)/python -m pytest -n $(PROCESSES) --dist loadfile $(ARGS)

lint: $(READY)
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

$(READY): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "fuse-then needs Python 3.11 or newer: install it, or say make PYTHON=python3.12"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $@

clean:
	rm -rf $(VENV)
