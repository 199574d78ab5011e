# Each target sets up what it needs: a fresh clone, Python 3.11+, pip and make are enough.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test check docs bench install clean
.DEFAULT_GOAL := demo

demo: .venv/installed          ## make the embedded data, train, evaluate, report
	@$(BIN)/maskwright demo --out demo

test: .venv/installed-browser  ## the whole test suite, slow and GPU tests aside
	@$(BIN)/python -m pytest -m "not slow and not gpu"

check: .venv/installed-dev     ## lint, formatting, types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check src tests benchmarks
	@$(BIN)/pyright --pythonpath $(BIN)/python

docs: .venv/installed-docs     ## the site in build/site: how-to pages, Python and command line; a dead link is an error
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build -q

bench: .venv/installed-bench   ## the benchmarks of benchmarks/README.md; results in benchmarks/results
	@$(BIN)/python benchmarks/run.py

install: .venv/installed

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit("maskwright needs Python 3.11 or newer; found " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -m venv .venv

.venv/installed: .venv/bin/python pyproject.toml constraints.txt
	@echo "installing maskwright into .venv (a minute or two, once)"
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt torch torchvision
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e .
	@$(BIN)/python -m compileall -q src  # as pip does for what is not editable: a command starts a fifth sooner
	@touch $@

.venv/installed-dev: .venv/installed
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt --no-deps label-studio-sdk  # asks for an older OpenCV
	@touch $@

# what the tests of the app drive it with; what is missing is said before every test run, and those tests are skipped
.venv/installed-browser: .venv/installed-dev tests/app/js/package.json
	@{ command -v chromium && command -v npm; } >/dev/null || { test "$$(id -u)" = 0 && { apt-get -qq update; apt-get -qq install -y chromium npm; } >/dev/null 2>&1; } \
		|| { echo "tests of the app in a browser are skipped. To run them: sudo apt-get install -y chromium npm && make test"; exit 0; }; \
		npm install --silent --no-audit --no-fund --prefix tests/app/js && touch $@ \
		|| echo "tests of the app's accessibility and types are skipped. To run them: npm install --prefix tests/app/js && make test"

.venv/installed-bench: .venv/installed
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[bench]'
	@touch $@

.venv/installed-docs: .venv/installed
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[docs]'
	@touch $@

clean:
	rm -rf .venv demo runs build dist .pytest_cache .ruff_cache
