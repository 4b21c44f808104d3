# Every target sets up what it needs: a virtual environment with pinned packages, made once.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# A file's tests stay together: they share what is costly to make. A worker that crashes ends the run, with
# the test's name: by its own default, pytest-xdist would wait for that file's other tests for ever.
PARALLEL := -n logical --maxprocesses 4 --dist loadfile --max-worker-restart=0

# Tests start hundreds of commands, which share compiled modules; many images ask Python not to keep any.
export PYTHONDONTWRITEBYTECODE =

.PHONY: setup demo docs test test-long test-slow test-servers test-pythons lint typecheck bench bench-quick clean flink-up flink-down kafka-up kafka-down

setup: $(READY)

demo: $(READY)
	$(BIN)/skewless demo --output out/demo --overwrite

test: $(READY)
	$(BIN)/python -m pytest $(PARALLEL)

# Side by side: those that need servers wait for them most of the time, and share them in one process.
test-long: $(READY)
	$(MAKE) --jobs=2 --output-sync=target test-slow test-servers

test-slow: $(READY)
	$(BIN)/python -m pytest $(PARALLEL) -m "(slow or browser) and not (flink or kafka)"

test-servers: $(READY)
	$(BIN)/python -m pytest -m "flink or kafka"

test-pythons:
	.ci/other-pythons

# Exported models under an older TensorFlow, in an environment of its own of about 2 GB.
test-tensorflow-%: $(READY)
	$(BIN)/python -m tests.older_tensorflow --tensorflow $*

# The site into out/site; a broken link fails.
docs: $(READY)
	$(BIN)/python -m skewless.schemas.spec.reference
	$(BIN)/zensical build --strict --clean

# Figures and a chart into benchmarks/results/.
bench: $(VENV)/.bench-ready
	$(BIN)/python -m benchmarks

# The same on little data, all or NAMES: fails on wrong results, never on time.
bench-quick: $(READY)
	$(BIN)/python -m benchmarks --quick $(NAMES)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

typecheck: $(READY)
	$(BIN)/mypy

flink-up: $(READY)
	$(BIN)/python scripts/flink up

flink-down:
	$(PYTHON) scripts/flink down

kafka-up:
	$(PYTHON) scripts/kafka up

kafka-down:
	$(PYTHON) scripts/kafka down

$(READY): requirements.txt pyproject.toml setup.py
	$(PYTHON) -m venv $(VENV)
	scripts/install $(BIN)/python --requirement requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $(READY)

$(VENV)/.bench-ready: $(READY) benchmarks/requirements.txt
	scripts/install $(BIN)/python --requirement benchmarks/requirements.txt
	touch $(VENV)/.bench-ready

clean:
	rm -rf $(VENV) .venv-* out build *.egg-info
