# The two commands are `make demo` and `make test`; `make help` lists the rest.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := $(CURDIR)/.venv
CACHE := $(CURDIR)/.cache
# Ansible wants to see the checkout as ansible_collections/bosh/ha.
COLLECTIONS := $(CACHE)/collections
export PATH := $(VENV)/bin:$(PATH)
export ANSIBLE_COLLECTIONS_PATH := $(COLLECTIONS)

.PHONY: help venv lint units sanity test clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

$(VENV)/.test: requirements/test.txt requirements/controller.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "PYTHON=$(PYTHON) is older than Python 3.11: set PYTHON to a newer one"; exit 1; }
	@echo "Installing Ansible and the test tools into .venv"
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet -r requirements/test.txt
	touch $@

venv: $(VENV)/.test ## Ansible and the test tools, in .venv
	@mkdir -p $(COLLECTIONS)/ansible_collections/bosh
	@ln -sfn $(CURDIR) $(COLLECTIONS)/ansible_collections/bosh/ha

lint: venv ## ruff, mypy, ansible-lint (production profile), the changelog
	ruff check .
	ruff format --check .
	mypy plugins/module_utils
	timeout 300 ansible-lint
	antsibull-changelog lint

units: venv ## unit tests
	timeout 600 python -m pytest tests/unit

sanity: venv ## ansible-test sanity, on the built and installed collection
	timeout 1200 tests/run-sanity

test: lint units sanity ## everything that CI runs

clean: ## what the targets above left in the checkout
	rm -rf $(VENV) $(CACHE) .ansible .mypy_cache .ruff_cache collections
