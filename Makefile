# Everything runs in a virtual environment of the project's own. `make help` lists the
# targets.

VENV ?= .venv
# An interpreter for a new VENV; without it, setup.sh takes one that will do.
PYTHON ?=
# A folder that `make wheels` made, to set up from it without network.
WHEELS ?=

py := $(VENV)/bin/python
installed := $(VENV)/.installed
modules = $(subst /,.,$(basename $(shell find d2l_mlp -name '[a-z]*.py' | sort)))

.DEFAULT_GOAL := help
.PHONY: help setup book compare demo test endurance test-fast coverage lint docs notebooks bench wheels clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1	/p' Makefile

setup: $(installed) ## make the virtual environment (PYTHON=python3.10, VENV=folder)

book: $(installed) ## train as the chapter does, and compare with its numbers
	$(py) -m d2l_mlp book

compare: $(installed) ## ask of 30 seeds on both kinds of split: are the book's numbers ours?
	$(py) -m d2l_mlp compare

demo: $(installed) ## the classroom page, on this machine: open the teacher's link
	$(py) -m d2l_mlp demo

# Half of the time tests wait for processes and their end, so that several files run at
# once; with one thread each, since teams of threads would wait for each other.
at_once := OMP_NUM_THREADS=1 $(py) -m pytest -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

test: $(installed) ## run the tests, and every notebook from top to bottom
	$(at_once) --nbmake -m "not endurance"

endurance: $(installed) ## the tests that take long, or repeat one thing many times
	$(at_once) -m endurance tests

test-fast: $(installed) ## the tests that take under a minute together
	$(at_once) -m "not slow and not browser and not postgres and not endurance" tests

# What coverage disturbs: it has no room for its own file either, and a SIGTERM waits for
# Python in a process that waits in MXNet.
disturbed := tests/commands/test_cli.py::test_a_picture_for_which_there_is_no_room_is_named \
	tests/commands/test_cli_checkpoint.py::test_a_full_disk_is_told_of_and_what_was_kept_is_gone_on_from \
	tests/commands/test_cli_launch.py::test_stopped_by_its_user_it_leaves_nothing

coverage: $(installed) ## all tests, and how much of the package they run: at least 90 %
	$(at_once) --nbmake --cov --cov-report=term $(disturbed:%=--deselect %)

lint: $(installed) ## style, formatting, types, and who may import whom
	$(py) -m ruff check
	$(py) -m ruff format --check
	$(py) -m mypy d2l_mlp
	$(VENV)/bin/lint-imports

docs: $(installed) ## the API's reference, from the docstrings, into output/api
	@$(py) -m pdoc --docformat google --output-directory output/api d2l_mlp $(modules)
	@echo "wrote output/api/index.html"

notebooks: $(installed) ## run the notebooks and keep their output
	$(py) scripts/run_notebooks.py notebooks/*.ipynb

bench: $(installed) .venv-bench/.installed ## time this project and its peers
	$(py) benchmarks/run.py

.venv-bench/.installed: benchmarks/requirements.txt
	$(py) -m venv .venv-bench
	.venv-bench/bin/python -m pip install -q -r benchmarks/requirements.txt
	touch $@

wheels: $(installed) ## gather every package in wheels/, to set up where there is no network
	$(py) -m pip wheel -q --no-deps --use-pep517 --no-build-isolation -r requirements.txt -w wheels
	@echo "wrote wheels/: copy it; there, make setup WHEELS=wheels"

clean: ## remove the environment, caches and build products; results stay
	@if [ -f "$(VENV)/pyvenv.cfg" ]; then rm -rf "$(VENV)"; fi
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# setup.sh writes the stamp last, so that a run cut short is mended by the next.
$(installed): requirements.txt
	@VENV="$(VENV)" PYTHON="$(PYTHON)" WHEELS="$(WHEELS)" sh scripts/setup.sh
