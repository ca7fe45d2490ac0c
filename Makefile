# `make repro` installs into .venv and runs the pipeline; `make test` runs the tests.
PYTHON ?= python3
VENV ?= .venv
export PATH := $(abspath $(VENV))/bin:$(PATH)

.PHONY: repro test install results serve schedule-demo clean

repro: install
	dvc repro
	@$(MAKE) --no-print-directory results

results: install
	@python -m pipeline.results

# Prefect's server, a worker and the deployments of prefect.yaml, for this machine only; docs/prefect.md says more.
PORT ?= 4200

serve: install
	@python -m pipeline.flows serve --port $(PORT)

schedule-demo: install
	@python -m pipeline.flows demo --port $(PORT)

test: install
	python -m pytest

install: $(VENV)/installed

# constraints.txt holds the versions the figures were made with; pyproject.toml the ranges that are allowed.
$(VENV)/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: Python 3.11 or newer is needed, this is " + sys.version.split()[0] + "; try: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	pip install --constraint constraints.txt --editable '.[dev]'
	python -m pipeline.offline_plots
	@touch $@

clean:
	rm -rf $(VENV) .work
