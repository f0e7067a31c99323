# Every target does its own set-up: a virtual environment from requirements.lock and, when root on Debian, the packages the lab needs.
# On a terminal it asks before it installs packages; YES=1 says yes, YES=0 no. Without a terminal it installs them, and says so.
PYTHON := .venv/bin/python
WORKERS ?= 6

.DEFAULT_GOAL := help
.PHONY: help e2e-all e2e-kube-router demo test test-slow lint lab-matrix lab-matrix-all lab-trouble bench bench-brief bench-large lock lock-image clean setup setup-live setup-bench setup-browser e2e kind-node-image chart-tools cluster-up cluster-shell cluster-down

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## a virtual environment in .venv with everything in it, and the packages that the lab needs
	@tools/setup

setup-live: ## the virtual environment alone: all that live clusters and manifests need
	@tools/setup --live

setup-bench:
	@tools/setup --bench

setup-browser:
	@tools/setup --browser

demo: setup ## audit the demo scenario on the embedded lab, with real packets, under a CNI that ignores egress on one node
	@.venv/bin/audit run --lab demo --enforcer ignores-egress@node-2; code=$$?; [ $$code -eq 1 ] || exit $$code

test: setup ## run the tests
	@$(PYTHON) -m compileall -q -j 2 auditor probes
	$(PYTHON) -m pytest -q -n $(WORKERS) --dist worksteal -m "not slow and not alone" --ignore=tests/browser

test-slow: setup-browser ## run the tests that take long or load the machine
	$(PYTHON) -m pytest -q -n 3 -m slow
	$(PYTHON) -m pytest -q -m alone

lint: setup ## ruff, mypy --strict, import-linter
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

lab-matrix: setup ## the dialects against the scenarios with real packets, a fifth of all, and the causes that the diagnosis names, as tables
	$(PYTHON) -m tests.lab.matrix

lab-matrix-all: setup ## the same, and every dialect against every scenario
	$(PYTHON) -m tests.lab.matrix -a

lab-trouble: setup ## 200 audits to whose agents, links or machine something happens: what came out, as a table
	$(PYTHON) -m tests.lab.trouble

bench: setup-bench ## measured ratios against peers and limits
	$(PYTHON) -m tests.bench

bench-brief: setup-bench ## some of them: what CI makes sure of
	$(PYTHON) -m tests.bench brief

bench-large: setup ## how time and memory grow up to 100,000 pods and 10,000 policies; takes minutes
	$(PYTHON) -m tests.bench.sizes large

COMPILE = .venv/bin/pip-compile --quiet --generate-hashes --no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
	--strip-extras --no-header --allow-unsafe

lock: setup ## write requirements*.lock anew from pyproject.toml: for development, for running alone, for building a wheel
	$(COMPILE) --upgrade --extra dev --output-file requirements.lock pyproject.toml
	$(MAKE) lock-image

lock-image: setup
	$(COMPILE) --constraint requirements.lock --output-file requirements-run.lock pyproject.toml
	$(COMPILE) --constraint requirements.lock --only-build-deps --build-deps-for wheel --output-file requirements-build.lock pyproject.toml

clean: ## remove what the targets above have made
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

e2e: setup ## the suite on a real Kubernetes: a kind cluster of its own, made and ended (docs/e2e.md)
	@tests/e2e/cluster/suite -m "not slow"

e2e-all: setup ## the same with every dialect
	@tests/e2e/cluster/suite

e2e-kube-router: setup ## the part of it with kube-router, a third party's enforcer, which is built first where it isn't yet
	@tests/e2e/cluster/build-kube-router
	@E2E_CNI=kube-router tests/e2e/cluster/suite

kind-node-image: ## where there is no registry: build a kind node image from Debian packages and Go modules (docs/e2e.md)
	@tests/e2e/cluster/build

cluster-up: ## a kind cluster to try things on: one control plane, two workers, a CNI that enforces nothing
	@tests/e2e/cluster/up

cluster-shell: ## a shell that reaches that cluster
	@tests/e2e/cluster/shell

chart-tools: ## what the tests of deploy/ and ci/ check with: Helm 3 and 4, kubectl, kubernetes-validate, promtool, actionlint
	@tools/chart-tools

cluster-down: ## end that cluster and all that belongs to it
	@tests/e2e/cluster/down
