# make search, make test: all that a fresh machine needs. Everything else builds on the same environment.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
CODE := search models data_pipeline analysis benchmarks tests

.PHONY: setup search test test-cluster check format report bench clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev,s3,view,cluster]"
	touch $@

search: setup
	$(BIN)/python -m search.run space=cnn2

test: setup
	$(BIN)/pytest

# ray up for real, over several hosts that this machine plays; needs root, iproute2, openssh-server and rsync.
test-cluster: setup
	$(BIN)/pytest -m cluster tests/cluster

check: setup
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/mypy

format: setup
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)

# The pages of the newest run.
report: setup
	$(BIN)/python -m analysis.report "$$(ls -td runs/*/ | head -n 1)"

# docs/benchmarks.md, an afternoon; BENCH="--root FOLDER --weights FILE" for the full set. Goes on where it was stopped.
bench: setup
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[bench]"
	$(BIN)/python -m benchmarks $(BENCH)

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache
