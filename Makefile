# make search, make test: all that a fresh machine needs. Everything else builds on the same environment.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
LICENCES := MIT;Apache;BSD;PSF;Python Software Foundation;MPL;Mozilla
CODE := search models data_pipeline analysis benchmarks tests
# Compiled modules are kept whatever the shell says: a search starts some five processes of the same ones, the tests
# hundreds.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: setup search test test-cluster soak audit check format report bench gpu-check clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev,s3,view]"
	touch $@

# The main job on the bundled sample in a minute and a half: images of 64 pixels, since at 96 two trials would fit.
search: setup
	$(BIN)/python -m search.run space=cnn2 data.size=64 search.time_budget=90s

# Three at a time: with two, cores are idle while searches of the tests wait for their processes. One that has no test
# left takes over some of another's.
test: setup
	$(BIN)/pytest --numprocesses 3 --dist worksteal

# ray up for real, over several hosts that this machine plays, a quarter of an hour; needs root, iproute2,
# openssh-server and rsync, and says so where it cannot run. CLUSTER="-k stranger" chooses.
test-cluster: setup
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[cluster]"
	$(BIN)/pytest -s -m cluster tests/cluster $(CLUSTER)

# Half an hour of killed drivers and trials, changed checkpoints and stopped processes.
soak: setup
	$(BIN)/pytest -s -m soak tests/soak

# The licences of all that is installed, each an allowed one, and what is known against the pinned versions: pip-audit
# names those that the index knows nothing of. namex (a part of Keras) and mlcroissant are Apache 2.0 and do not say so.
# Not for an environment with the extras `gpu` or `replays`: CUDA, and the NCCL of a peer, have NVIDIA's own licences.
audit: setup
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[audit]"
	$(BIN)/pip-licenses --partial-match --ignore-packages namex mlcroissant --allow-only "$(LICENCES)"
	$(BIN)/pip-audit --requirement constraints.txt --no-deps --disable-pip

check: setup
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: setup
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)

# The pages of the newest run.
report: setup
	$(BIN)/python -m analysis.report "$$(ls -td runs/*/ | head -n 1)"

# docs/benchmarks.md, a day; BENCH="--root FOLDER --weights FILE" for the full set. Goes on where it was stopped.
bench: setup
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[replays]"
	$(BIN)/python -m benchmarks $(BENCH)

# What the README says of GPUs, tried on this machine's in less than ten minutes; a JSON and a page to send, in
# build/gpu-check. Without a GPU one is pretended.
gpu-check: setup
	if command -v nvidia-smi >/dev/null; then \
	    $(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[gpu]"; fi
	$(BIN)/python -m benchmarks.gpu $(GPU)

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache
