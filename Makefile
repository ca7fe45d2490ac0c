# `make repro` installs into .venv and runs the pipeline; `make test` runs the tests.
PYTHON ?= python3
VENV ?= .venv
export PATH := $(abspath $(VENV))/bin:$(PATH)

.PHONY: repro test install results clean

repro: install
	dvc repro
	@$(MAKE) --no-print-directory results

results: install
	@python -m pipeline.results

test: install
	python -m pytest

install: $(VENV)/installed

# constraints.txt holds the versions the figures were made with; pyproject.toml the ranges that are allowed.
$(VENV)/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: Python 3.11 or newer is needed, this is " + sys.version.split()[0] + "; try: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	pip install --constraint constraints.txt --editable '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) .work
