# Every target makes its own environment: Python >= 3.11 with venv, and make, are enough.
#
#   PYTHON   the interpreter that the environment is made from   (python3)
#   VENV     where the environment is                            (.venv)
#   WORKERS  test processes; 0 runs the tests in one process     (2)
#   ARGS     passed on to the program that the target runs
#   QUICK    XLA's flags for tests; QUICK= compiles as users do, which takes longer

PYTHON  ?= python3
VENV    ?= .venv
WORKERS ?= 2
ARGS    ?=
# Tests run tiny programs once: what counts is how long XLA compiles. The last flag alone
# saves a tenth of that, where every core has a process of tests.
QUICK   ?= --xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false \
           --xla_cpu_parallel_codegen_split_count=1

BIN := $(VENV)/bin
PY  := $(BIN)/python
QUIET := --quiet --disable-pip-version-check --no-input
PIP := $(PY) -m pip $(QUIET)

# XLA ends the process at a flag that it does not know, and they come and go: jaxlib 0.11
# has dropped the second one. So all are tried first, then each.
TRY   = JAX_PLATFORMS=cpu $(PY) -c "import jax; jax.devices()" 2>/dev/null && echo
KNOWN = XLA_FLAGS="$(QUICK)" $(TRY) "$(QUICK)" || for flag in $(QUICK); do XLA_FLAGS=$$flag $(TRY) $$flag; done

PYTEST = XLA_FLAGS="$$($(KNOWN)) $$XLA_FLAGS" $(PY) -m pytest -n $(WORKERS) --dist worksteal

CPP := $(wildcard native/*.h native/*.cpp native/*/*.h native/*/*.cpp)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-full test-native test-site docs docs-serve bench exchange fuzz lint format native wheels clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' Makefile

demo: $(VENV)/.stamp-examples ## train the regression network and write pictures
	@$(PY) examples/regression.py $(ARGS)

test: $(VENV)/.stamp-test ## run the tests, without the slow ones
	@$(PYTEST) -m "not slow" $(ARGS)

test-full: $(VENV)/.stamp-test ## run all tests
	@$(PYTEST) $(ARGS)

fuzz: $(VENV)/.stamp-test ## random networks through an engine, against the oracle
	@cd tests && $(abspath $(PY)) fuzz.py $(ARGS)

bench: $(VENV)/.stamp-bench ## measure speed and error, and store the table
	@$(PY) benchmarks/run.py $(ARGS)

test-native: $(VENV)/.stamp-build ## run the native core's own tests, under sanitizers
	@$(PY) -m native.test $(ARGS)

# Material says in each build that its successor is to be had.
docs: $(VENV)/.stamp-docs ## build the documentation site into out/site; faults are errors
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build $(ARGS)

docs-serve: $(VENV)/.stamp-docs ## show the site, and build it again when a page changes
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve $(ARGS)

test-site: $(VENV)/.stamp-docs ## look at every page of the built site in a browser
	@$(PY) -m pytest -n 0 tests/test_site.py $(ARGS)

exchange: $(VENV)/.stamp-nir ## exchange graphs in NIR with other packages, and store the table
	@$(PY) benchmarks/exchange/run.py $(ARGS)

lint: $(VENV)/.stamp-lint ## check style and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/basedpyright --pythonpath $(PY)
	@$(BIN)/clang-format --dry-run --Werror $(CPP)
	@$(BIN)/clang-tidy --quiet $(filter %.cpp,$(CPP)) -- $$($(PY) -m native.build --flags)

format: $(VENV)/.stamp-lint ## rewrite the code in the project's style
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .
	@$(BIN)/clang-format -i $(CPP)

native: $(VENV)/.stamp-native ## compile the native core, if a source has changed

# Compiled with the headers of the oldest jaxlib, so not in the environment of the tests.
wheels: $(VENV)-wheels/.stamp ## write sdist and wheels for all platforms into dist
	@rm -rf dist && mkdir dist
	@$(VENV)-wheels/bin/python -m native.wheels dist
	@echo "Testing the wheel for this machine in an empty environment ..."
	@$(PYTHON) -m venv --clear $(VENV)-empty
	@tag=$$($(PYTHON) -c "from native.targets import here; print(here().tag)"); \
	$(VENV)-empty/bin/pip $(QUIET) install "$$(ls dist/*$$tag.whl)[test]"
	@$(VENV)-empty/bin/pytest -n 0 tests/test_native_library.py tests/test_main.py $(ARGS)
	@$(VENV)-empty/bin/python -I -m eventax

$(VENV)-wheels/.stamp: pyproject.toml
	@echo "Making the environment $(VENV)-wheels ..."
	@$(PYTHON) -m venv $(VENV)-wheels
	@$(VENV)-wheels/bin/pip $(QUIET) install $$($(VENV)-wheels/bin/python -m native.build --wheels)
	@touch $@

clean: ## remove the environment, pictures and caches
	rm -rf eventax/_native/eventax-*
	rm -rf $(VENV) $(VENV)-wheels $(VENV)-empty out build dist .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp is written last, so an interrupted installation is done again.
$(VENV)/.stamp-venv:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("eventax needs Python 3.11 or newer, $(PYTHON) is " + sys.version.split()[0] + ": make PYTHON=/path/to/python3.11 ...")'
	@echo "Making the environment $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)
	@touch $@

# What builds the package is installed once, here, and not again in isolation.
$(VENV)/.stamp-build: pyproject.toml $(VENV)/.stamp-venv
	@echo "Installing what builds eventax ..."
	@$(PIP) install $$($(PY) -m native.build --requirements)
	@zig=$$($(PY) -m native.build --compiler); test -z "$$zig" || $(PIP) install "$$zig" || true
	@touch $@

$(VENV)/.stamp-native: $(CPP) $(wildcard native/*.py native/*.map) pyproject.toml $(VENV)/.stamp-build
	@echo "Compiling the native core ..."
	@$(PY) -m native.build
	@touch $@

$(VENV)/.stamp-%: pyproject.toml $(VENV)/.stamp-build | $(VENV)/.stamp-native
	@echo "Installing eventax[$*] into $(VENV) (a few minutes the first time) ..."
	@EVENTAX_NATIVE=0 $(PIP) install --no-build-isolation --editable '.[$*]'
	@touch $@
