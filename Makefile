# make install: a virtual environment with all dependencies.  make demo: install, then the scenario
# urban.yaml including its figures.  make test: install, then linters, types and all tests.
# make quick: the quick part of the tests.  make validation: docs/validation.md and its pictures.
# make docs: the pages in docs/_build/html.  make build: wheel and sdist in dist/, each installed and
# run in a fresh environment.  make lowest: the tests with the lowest versions that pyproject.toml
# allows.  make benchmarks: docs/benchmarks.md, in hours; an interrupted one is continued.
# make audit: known vulnerabilities of pinned packages (asks PyPI).
PYTHON ?= python3
VENV   ?= .venv
# Processes that share the training of the demo.
PROCESSES ?= 2
# Processes that share the tests.
WORKERS ?= $(shell nproc)
BIN     = $(VENV)/bin
# Compiles the loop of Wi-Fi, once for all workers, beside the checks of types.
COMPILE = $(BIN)/python -m wnsim.scenario indoor.yaml --only unicast,seed=1 --dry-run > /dev/null

.PHONY: install demo test quick docs validation build lowest benchmarks audit clean
install: $(VENV)/.installed

demo: $(VENV)/.installed
	$(BIN)/torchrun --nproc-per-node $(PROCESSES) -m wnsim.scenario urban.yaml

test: $(VENV)/.installed
	$(COMPILE) & compiling=$$!; $(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy; \
	  checked=$$?; wait $$compiling && exit $$checked
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses $(WORKERS) --maxprocesses 8 \
	  --dist loadfile --no-loadscope-reorder

quick: $(VENV)/.installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m quick

docs: $(VENV)/.installed
	$(BIN)/sphinx-build -W --keep-going -n -b html docs docs/_build/html

validation: $(VENV)/.installed
	$(BIN)/python tests/validation

build: $(VENV)/.installed
	rm -rf build/dist dist
	$(BIN)/python -m pip install --quiet -c constraints.txt build hatchling
	$(BIN)/python -m build --no-isolation --outdir dist
	for kind in whl tar.gz; do \
	  $(PYTHON) -m venv build/dist/$$kind && \
	  build/dist/$$kind/bin/python -m pip install --quiet -c constraints.txt torch && \
	  build/dist/$$kind/bin/python -m pip install --quiet -c constraints.txt dist/*.$$kind && \
	  (cd build/dist && $$kind/bin/python -m wnsim.selftest && \
	   $$kind/bin/wnsim network.yaml --set traffic.rounds=1 --out $$kind-results) || exit 1; \
	done

lowest:
	rm -rf build/lowest
	$(PYTHON) -m venv build/lowest
	$(PYTHON) tests/lowest.py > build/lowest/constraints.txt
	build/lowest/bin/python -m pip install --quiet -c build/lowest/constraints.txt torch
	build/lowest/bin/python -m pip install --quiet -c build/lowest/constraints.txt -e ".[test]"
	OMP_NUM_THREADS=1 build/lowest/bin/python -m pytest --numprocesses auto --maxprocesses 8 --dist loadfile

benchmarks: $(VENV)/.installed
	$(BIN)/python tests/benchmarks/compare.py

audit:
	$(PYTHON) -m venv build/audit
	build/audit/bin/python -m pip install --quiet pip-audit
	build/audit/bin/pip-audit --requirement constraints.txt --no-deps --disable-pip

# torch comes first and alone: a CPU build that is already at hand then satisfies everything after it.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt torch
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[test]"
	touch $@

clean:
	rm -rf $(VENV) results build dist docs/_build docs/_generated docs/keys .pytest_cache .mypy_cache .ruff_cache
