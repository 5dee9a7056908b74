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
# Each of Ansible's workers loads plugins anew: from compiled ones, whatever the environment says, and not beside the sources.
export PYTHONPYCACHEPREFIX := $(CACHE)/pycache
unexport PYTHONDONTWRITEBYTECODE

# The packages come before the venv, which needs one of them.
.NOTPARALLEL:
.PHONY: help able venv demo lab-up lab-down lint units lab-units sanity molecule molecule-steps molecule-backups test bench bench-backup chaos chaos-sample chaos-docs clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 20

$(VENV)/.test: requirements/test.txt requirements/controller.txt
	@$(PYTHON) -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' || { echo "PYTHON=$(PYTHON) is not there, older than Python 3.11, or without venv: set PYTHON, or install python3-venv"; exit 1; }
	@echo "Installing Ansible and the test tools into .venv"
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet -r requirements/test.txt
	touch $@

venv: $(VENV)/.test ## Ansible and the test tools, in .venv
	@mkdir -p $(COLLECTIONS)/ansible_collections/bosh
	@ln -sfn $(CURDIR) $(COLLECTIONS)/ansible_collections/bosh/ha

APT := podman runc netavark iptables nftables iproute2 mmdebstrap openssh-client rsync python3-venv restic rclone locales

able: # whether this machine can have the lab at all; nothing is changed
	@[ "$$(id -u)" = 0 ] || { echo "root is needed: the lab makes a network and containers of its own; run it with sudo"; exit 1; }
	@command -v apt-get >/dev/null || { echo "this is no Debian: the lab needs Debian 12 or 13 with apt-get"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "PYTHON=$(PYTHON) is not there or older than Python 3.11: set PYTHON to a newer one"; exit 1; }
	@unshare --mount --net --pid --fork true || { echo "Podman can't run here: this machine may make no namespaces; use a VM, or a container with --privileged"; exit 1; }

$(CACHE)/apt: | able
	@echo "Installing from Debian: $(APT)"
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(APT) >/dev/null
	@mkdir -p $(CACHE)
	@touch $@

lab-up: $(CACHE)/apt ## the lab: network, stemcell image, release, an operator's workspace
	lab/bin/lab up

lab-down: ## remove the lab
	lab/bin/lab down

demo: $(CACHE)/apt venv lab-up ## Micro, Primary and Meta become a pair that resurrects each other
	PATH=$(CURDIR)/lab/bin:$$PATH ansible-playbook -i inventories/lab playbooks/binary_boshes.yml

$(VENV)-lab/.test: lab/requirements.txt
	$(PYTHON) -m venv $(VENV)-lab
	$(VENV)-lab/bin/pip install --quiet -r lab/requirements.txt pytest==9.2.0 hypothesis==6.170.15
	touch $@

lab-units: $(VENV)-lab/.test ## the lab's own tests, with its `bosh` against recorded outputs of the real one
	cd lab && PYTHONPATH=. timeout 1200 $(VENV)-lab/bin/python -m pytest -q -p no:cacheprovider tests

lint: venv ## ruff, mypy, ansible-lint (production profile), the changelog, the documentation
	ruff check .
	ruff format --check .
	mypy plugins/module_utils
	timeout 900 ansible-lint
	antsibull-changelog lint
	antsibull-docs lint-collection-docs --plugin-docs .

units: venv ## unit tests
	timeout 4000 python -m pytest --numprocesses auto --durations 15 tests/unit

sanity: venv ## ansible-test sanity, on the built and installed collection
	timeout 2400 tests/run-sanity

molecule: $(CACHE)/apt venv lab-up ## the whole migration, a backup and its restore, and bad inputs, on the lab
	timeout 4500 tests/run-molecule

molecule-steps: $(CACHE)/apt venv lab-up ## a scenario for each step, the way back, and Primary's adoption
	timeout 4500 tests/run-molecule --steps

molecule-backups: $(CACHE)/apt venv lab-up ## backups into a repository, of many VMs, their rehearsal, a director lost with its disk
	timeout 5400 tests/run-molecule --backups

test: $(CACHE)/apt venv ## everything that CI runs
	tests/run-all

# The whole list takes hours. Less of it: --only REGEX, --kill-every N, --kill-at NAME, --minutes N; --reuse takes the
# snapshots that an earlier call left; --break GUARD shows that a case fails without the guard.
CHAOS ?=
chaos: $(CACHE)/apt venv lab-up ## faults in a migration, on the lab: CHAOS="--only REGEX --kill-every 10", "--list", ...
	PATH=$(CURDIR)/lab/bin:$$PATH PYTHONPATH=$(CURDIR)/tests python -m chaos $(CHAOS)

chaos-sample: $(CACHE)/apt venv lab-up # some of it, for `make test`: from the directors that Molecule deployed, where it did
	PATH=$(CURDIR)/lab/bin:$$PATH PYTHONPATH=$(CURDIR)/tests timeout 1200 python -m chaos --sample --deployed three_directors

chaos-docs: venv ## docs/what-can-go-wrong.md anew, from the cases
	PYTHONPATH=$(CURDIR)/tests python -m chaos --docs

# A benchmark waits for nobody: how long it takes is a question of the sizes.
BENCH_SIZES ?= 1 4 8
BENCH_STAGES ?= deploy copies freeze recreate adopt finished
bench: $(CACHE)/apt venv lab-up ## a table of ratios, on the lab: BENCH_SIZES="1 4 8" in GiB, BENCH_STAGES="freeze ..."
	PATH=$(CURDIR)/lab/bin:$$PATH PYTHONPATH=$(CURDIR)/tests python -m bench --sizes $(BENCH_SIZES) --stages $(BENCH_STAGES)

BENCH_BACKUP ?=
bench-backup: $(CACHE)/apt venv lab-up ## a director's backup and restore against bbr's, on the lab: BENCH_BACKUP="--size 4 --rounds 1"
	PATH=$(CURDIR)/lab/bin:$$PATH PYTHONPATH=$(CURDIR)/tests python -m bench.backup $(BENCH_BACKUP)

clean: ## what the targets above left in the checkout
	rm -rf $(VENV) $(VENV)-lab $(CACHE) .ansible .mypy_cache .ruff_cache collections/ansible_collections
