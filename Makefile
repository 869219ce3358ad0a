# make install: a virtual environment with everything.  make demo: install, then the scenario
# urban.yaml to figures.  make test: install, then every check.  make validation: install, then
# docs/validation.md and its pictures.  make docs: install, then the pages to docs/_build/html.
# make audit: what is known of weaknesses of the pinned packages (asks PyPI).
PYTHON ?= python3
VENV   ?= .venv
# That share the training of the demo.
PROCESSES ?= 2
BIN     = $(VENV)/bin

.PHONY: install demo test docs validation audit clean
install: $(VENV)/.installed

demo: $(VENV)/.installed
	$(BIN)/torchrun --nproc-per-node $(PROCESSES) -m wnsim.scenario urban.yaml

test: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 8 --dist loadfile

docs: $(VENV)/.installed
	$(BIN)/sphinx-build -W --keep-going -n -b html docs docs/_build/html

validation: $(VENV)/.installed
	$(BIN)/python tests/validation

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
