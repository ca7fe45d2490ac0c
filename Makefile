# `make repro` installs into .venv and runs the pipeline; `make test` runs the tests. CONTRIBUTING.md lists the rest.
PYTHON ?= python3
VENV ?= .venv
PORT ?= 4200
export PATH := $(abspath $(VENV))/bin:$(PATH)
export NO_MKDOCS_2_WARNING := 1

# The tests of `make check`: names, imports, and the codec without training. Together less than a minute on one core.
QUICK := tests/test_imports.py $(addprefix tests/codec/, test_codec.py test_mdct.py test_operating_point.py audio cli files waveform) \
	$(addprefix tests/docs/, test_commands.py test_links.py test_readme.py) \
	$(addprefix tests/pipeline/, test_dvc_yaml.py common/test_tables.py common/test_files.py)

.PHONY: repro results test check lint format docs demo wheel gpu-bundle install serve schedule-demo clean

repro: install
	dvc repro
	@$(MAKE) --no-print-directory results

results: install
	@python -m pipeline.results.summary

test: install
	python -m pytest

check: lint
	python -m pytest $(QUICK)

# Prints nothing when all is well.
lint: install
	@ruff check --quiet
	@ruff format --check --quiet
	@mypy --no-error-summary -p telucodec -p pipeline

format: install
	ruff check --fix --quiet
	ruff format --quiet
	python -m pipeline.common.params --format

docs: install
	@python -m tools.demo --no-server
	mkdocs build --strict

# The page that codes speech in the browser: docs/demo.md.
demo: install
	@python -m tools.demo

# Builds the wheel, installs it into an empty environment and uses it there.
wheel: install
	python -m tools.wheel_check

# A folder for a machine with a GPU and no network: docs/gpu.md.
gpu-bundle: install
	dvc repro preprocess
	@python -m pipeline.gpu.bundle

# Prefect's server, a worker and the deployments of prefect.yaml, for this machine only: docs/prefect.md.
serve: install
	@python -m pipeline.flows serve --port $(PORT)

schedule-demo: install
	@python -m pipeline.flows demo --port $(PORT)

install: $(VENV)/installed

# constraints.txt holds the versions that made the figures, pyproject.toml the ranges that are allowed.
$(VENV)/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: Python 3.11 or newer is needed, this is " + sys.version.split()[0] + "; try: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	pip install --constraint constraints.txt --editable '.[dev]'
	pip install --constraint constraints.txt --no-deps resemblyzer # pyproject.toml says why
	python -m pipeline.results.offline_plots
	@touch $@

clean:
	rm -rf $(VENV) .work
