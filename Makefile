# Two targets do everything on a fresh machine: `make demo` and `make test`. PYTHON chooses the interpreter.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
# Pins for the oldest supported stack, such as: make test VENV=.venv-old PINS="mcp==1.26.0 mcp-proxy-for-aws==1.1.5"
PINS ?=
# A venv for each file in tests/stacks/requirements: real client stacks, pinned.
STACKS ?= .venv-stacks
# Where npm installs the conformance suite of the MCP project.
CONFORMANCE ?= .npm-conformance

.PHONY: demo test lint types unit docs site screenshot benchmarks stacks conformance clean

demo: $(VENV)/.installed
	$(BIN)/mcpdoctor check --lab

test: $(VENV)/.dev lint types unit

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy
	$(BIN)/mypy --allow-untyped-defs --allow-untyped-calls --allow-incomplete-defs tests

unit: $(VENV)/.dev
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest
	$(BIN)/coverage combine -q
	$(BIN)/coverage report

docs: $(VENV)/.dev
	$(BIN)/python -m mcpdoctor.render.pages > docs/checks.md
	$(BIN)/python -m mcpdoctor.render.guides docs/clients
	$(BIN)/mcpdoctor render --schema > docs/report.schema.json
	$(BIN)/python -m mcpdoctor.render.fields docs/report.schema.json > docs/report.md
	$(BIN)/python -m mcpdoctor.cli.reference > docs/commands.md
	$(BIN)/python -m mcpdoctor.suite_schema > docs/suite.schema.json
	cd tests && $(abspath $(BIN))/python -m field.page > ../docs/field-cases.md
	cd tests && $(abspath $(BIN))/python -m field.messages > ../docs/messages.md

# The site, from docs/: build/site.
site: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# The picture of a run, in the README and on the site.
screenshot: $(VENV)/.dev
	cd tests && $(abspath $(BIN))/python -m screenshot ../docs/images/check.svg

benchmarks: $(VENV)/.dev
	$(BIN)/python -m tests.benchmarks.run
	$(BIN)/python -m tests.benchmarks.tree

# Slow, and not a part of `test`: real clients of several stacks against the lab. `make -j4 stacks` builds faster.
stacks: $(VENV)/.dev $(if $(shell command -v npm),$(STACKS)/node/.installed) $(patsubst tests/stacks/requirements/%.txt,$(STACKS)/%/.installed,$(wildcard tests/stacks/requirements/*.txt))
	STACKS=$(STACKS) $(BIN)/python -m pytest tests/stacks

$(STACKS)/node/.installed: tests/stacks/servers/package.json
	mkdir -p $(@D)
	cp $< $(@D)
	npm install --prefix $(@D) --no-audit --no-fund --loglevel=error
	touch $@

$(STACKS)/%/.installed: tests/stacks/requirements/%.txt
	$(PYTHON) -m venv --clear $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

# Slow, and not a part of `test`: needs npm. Prints a table and writes docs/conformance.md.
conformance: $(VENV)/.dev
	$(BIN)/python -m tests.conformance.run --npm $(CONFORMANCE) --write docs/conformance.md

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e . $(PINS)
	touch $@

$(VENV)/.dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[dev]" $(PINS)
	touch $@

$(VENV)/.docs: $(VENV)/.dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[docs]"
	touch $@

clean:
	rm -rf .venv* .npm-* build dist .coverage* .mypy_cache .pytest_cache .ruff_cache
