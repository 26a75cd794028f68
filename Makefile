# The two commands of the README are `make demo` and `make test`; `make help` lists the rest.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
ENV    := $(VENV)/.installed
DEV    := $(VENV)/.installed-dev

# Hundreds of processes import the package: each would compile it anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test coverage check firmware kernels bench nightly validate experiment help clean tools sbom
.DEFAULT_GOAL := help

demo: $(ENV)  ## set up and run the quickstart season
	@$(BIN)/levada run quickstart --out runs/quickstart
	@$(BIN)/python -m levada.hil.warm_up

test: $(DEV) tools  ## everything that must hold, as CI runs it
	@$(MAKE) --no-print-directory --output-sync=target -j 2 check firmware kernels
	@$(BIN)/python -m levada.hil.warm_up
	@$(BIN)/python -m pytest -n 3 --dist worksteal --durations=20

coverage: $(DEV) tools  ## which lines the tests reach; the tracing takes half as much time again
	@$(BIN)/python -m pytest -n 3 --dist worksteal --cov --cov-report=term

check: $(DEV)  ## style and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

firmware: $(DEV)  ## build and test the firmware's core
	@$(MAKE) --no-print-directory -j 1 -C levada/firmware test PYTHON=$(abspath $(BIN)/python)

kernels: $(DEV)  # all compiled once by this run, not by every process of the tests at the same time
	@$(BIN)/levada run quickstart --set period.end=2023-05-03 --set expect=[] --out runs/kernels --quiet

bench: $(DEV)  ## speed against named peers, in one run
	@$(BIN)/python -m benchmarks

nightly: $(DEV) tools  ## slow suites, mutants, libFuzzer for two minutes where clang is: an hour
	@$(call part,Slow suites,$(BIN)/python -m pytest -m slow -n 2 --dist worksteal --durations=0 --durations-min=1)
	@$(call part,Mutants of Python,$(BIN)/python tests/mutate.py)
	@$(call part,Mutants of C,$(BIN)/python tests/mutate_c.py)
	@$(call part,libFuzzer,if $(BIN)/python tests/tools.py --fuzz; then \
	    $(MAKE) --no-print-directory -C levada/firmware fuzz SECONDS=120; \
	elif [ "$$CI" = true ]; then exit 1; \
	else echo "Not fuzzed by libFuzzer: no clang"; fi)

# Runs the command $(2), and says how long the part $(1) of the night has taken.
part = begin=$$(date +%s); ($(2)); code=$$?; \
	echo "$(1) took $$(( $$(date +%s) - begin )) s"; exit $$code

validate: $(DEV)  ## regenerate docs/validation.md and its figures
	@$(BIN)/python -m validation

experiment: $(DEV)  ## compare the five strategies by measurement, with intervals and tests
	@$(BIN)/levada experiment experiments/continuum.toml --short

sbom: $(DEV)  ## what a release consists of, as CycloneDX: dist/levada.cdx.json
	@rm -rf build/sbom && $(BIN)/python -m venv --without-pip build/sbom
	@$(BIN)/python -m pip --python build/sbom/bin/python install --quiet --disable-pip-version-check .
	@mkdir -p dist
	@$(BIN)/cyclonedx-py environment --mc-type application --output-reproducible \
	    --output-file dist/levada.cdx.json build/sbom/bin/python
	@echo "dist/levada.cdx.json: levada, and all that its installation brings"

tools: $(DEV)
	@$(BIN)/python tests/tools.py

# Debian keeps `venv` in a package of its own; tests/tools.py says so in one line where it is missing.
$(ENV): setup.cfg pyproject.toml
	@echo "Setting up $(VENV) (once, about a minute) ..."
	@$(PYTHON) tests/tools.py --python
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(DEV): $(ENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

clean:  ## remove what can be made again
	rm -rf $(VENV) build firmware/build .coverage .pytest_cache .mypy_cache .ruff_cache *.egg-info

help:
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12
