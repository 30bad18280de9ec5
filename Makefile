# SPDX-License-Identifier: Apache-2.0
# `make` prints the targets. Only Python (3.10 or newer), pip and git are needed, and a C++ compiler
# where pip has to compile pybullet.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
# Which interpreter .venv is made from; empty: see tools/setup.sh.
PYTHON ?=
# More arguments for pip, and an extra index for torch. From PyPI torch brings CUDA on Linux; without
# a GPU, TORCH_INDEX=https://download.pytorch.org/whl/cpu saves some gigabytes.
PIP_ARGS ?=
TORCH_INDEX ?=
# The arm that is trained, or that the demo moves: iiwa, panda, ur5e, xarm7, gen3; for training also
# the path of a .yaml or .urdf.
ARM ?=
# What is trained, or shown: reach, pose or track.
TASK ?=
# What train_node's parameters are: config/robust.yaml, or config/train.yaml to learn from nothing.
CONFIG ?= config/robust.yaml
# More arguments for the command that a target runs, e.g. make train ARGS="-p seed:=1".
ARGS ?=

# A stamp for each kind of environment: sourcing a ROS 2 (or no longer) makes a new one.
STAMP := $(VENV)/.setup-$(or $(ROS_DISTRO),no-ros)
BENCH_STAMP := $(VENV)/.bench-$(or $(ROS_DISTRO),no-ros)
RAY_STAMP := $(VENV)/.ray-$(or $(ROS_DISTRO),no-ros)
DOCS_STAMP := $(VENV)/.docs-$(or $(ROS_DISTRO),no-ros)
MUTATION_STAMP := $(VENV)/.mutation-$(or $(ROS_DISTRO),no-ros)

# One machine unless set otherwise, and the package findable where ROS looks things up.
export ROS_AUTOMATIC_DISCOVERY_RANGE ?= LOCALHOST
export AMENT_PREFIX_PATH := $(CURDIR)/$(VENV)$(if $(AMENT_PREFIX_PATH),:$(AMENT_PREFIX_PATH))

.PHONY: help
help: ## print this list
	@echo 'make TARGET [ARGS="..."]'
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  %-12s%s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(STAMP) ## make .venv with everything in it (does nothing when nothing changed)
	@[[ "$(MAKECMDGOALS)" != setup ]] || printf '%s\n' 'ready; go on with one of' '  make train   a policy learns to reach, in three minutes' '  make demo    a shipped policy drives a simulated arm' '  make test    the tests'

$(STAMP): setup.py package.xml constraints.txt tools/setup.sh
	@PYTHON='$(PYTHON)' PIP_ARGS='$(PIP_ARGS)' TORCH_INDEX='$(TORCH_INDEX)' tools/setup.sh $(VENV)
	@rm -f $(VENV)/.setup-* $(VENV)/.ray-*
	@touch $@

.PHONY: train
train: setup ## train a policy with config/robust.yaml; ARM=panda, TASK=pose, CONFIG=config/train.yaml, ARGS="-p seed:=1 -p name:=mine"
	@echo "starting train_node" >&2
	@$(VENV)/bin/train_node --ros-args --params-file $(CONFIG) $(if $(ARM),-p arm:=$(ARM)) $(if $(TASK),-p task:=$(TASK)) $(ARGS)

.PHONY: ray
ray: $(RAY_STAMP) ## add Ray to .venv: collector:=ray and sweep, see docs/scale.md

$(RAY_STAMP): $(STAMP)
	@EXTRA=ray PYTHON='$(PYTHON)' PIP_ARGS='$(PIP_ARGS)' TORCH_INDEX='$(TORCH_INDEX)' tools/setup.sh $(VENV)
	@touch $@

.PHONY: demo
demo: setup ## drive a simulated arm to goals with a shipped policy; ARM=panda, TASK=pose, ARGS="--goals 20"
	@$(VENV)/bin/reach_demo $(if $(ARM)$(TASK),--model models/$(or $(ARM),iiwa)_$(or $(TASK),reach).onnx) $(ARGS)

.PHONY: watch
watch: setup ## show in the browser what runs on this machine, a demo too; ARGS="-p port:=8081"
	@$(VENV)/bin/browser_view --ros-args $(ARGS)

.PHONY: test
test: ray ## run the tests; ARGS="-k safety" selects some, ARGS="-n0" runs them one by one
	@$(VENV)/bin/python -m pytest -n auto --maxprocesses 8 --dist worksteal $(ARGS)

.PHONY: test-long
test-long: setup ## run the tests that train or soak for minutes, which `make test` leaves out
	@$(VENV)/bin/python -m pytest -m long $(ARGS)

.PHONY: bench
bench: $(BENCH_STAMP) ## measure against the peers, see benchmarks/README.md; ARGS="env_rate" selects one
	@$(VENV)/bin/python -m benchmarks $(ARGS)

.PHONY: bench-node
bench-node: $(BENCH_STAMP) ## policy_node's latency against a bare rclpy echo; ARGS="--seconds 12"
	@$(VENV)/bin/python -m benchmarks node_latency $(ARGS)

.PHONY: bench-bag
bench-bag: $(BENCH_STAMP) ## evaluate_bag's rate against rosbags deserialising alone; ARGS="--bag-seconds 60"
	@$(VENV)/bin/python -m benchmarks bag_rate $(ARGS)

# What only the benchmarks need; `make setup` does without.
$(BENCH_STAMP): $(STAMP)
	@EXTRA=benchmark PYTHON='$(PYTHON)' PIP_ARGS='$(PIP_ARGS)' TORCH_INDEX='$(TORCH_INDEX)' tools/setup.sh $(VENV)
	@touch $@

# The long tests of test/soak/ with what they measured kept; SAC_ROS_MINUTES, SAC_ROS_TRIES: how long.
soak swap tries: export SAC_ROS_RESULTS ?= benchmarks/results
soak: export SAC_ROS_MINUTES ?= 10
swap: export SAC_ROS_MINUTES ?= 1
swap: export SAC_ROS_RATE ?= 500

.PHONY: soak
soak: setup ## soak test: inject one fault per second into a policy_node, audit every command; SAC_ROS_MINUTES=1
	@$(VENV)/bin/python -m pytest -m long -s test/soak/test_soak.py -k breaks_no_rule $(ARGS)

.PHONY: swap
swap: setup ## change the policy of a policy_node once per second, audit every command; SAC_ROS_MINUTES=1
	@$(VENV)/bin/python -m pytest -m long -s test/soak/test_swap.py -k break_no_rule $(ARGS)

.PHONY: tries
tries: setup ## kill, stop, hang a policy_node in a motion, 50 times each; SAC_ROS_TRIES=5
	@$(VENV)/bin/python -m pytest -m long -s test/soak/test_fifty_tries.py $(ARGS)

.PHONY: mutation
mutation: $(MUTATION_STAMP) ## change policy/ line by line, count which changes tests notice; goes on where it was ended
	@nice -n 10 $(VENV)/bin/python -m mutmut run --max-children 1 $(ARGS)
	@$(VENV)/bin/python tools/mutation_report.py

$(MUTATION_STAMP): $(STAMP)
	@EXTRA=mutation PYTHON='$(PYTHON)' PIP_ARGS='$(PIP_ARGS)' TORCH_INDEX='$(TORCH_INDEX)' tools/setup.sh $(VENV)
	@touch $@

.PHONY: ablation
ablation: setup ## train the default and changes of it, write docs/ablation.md; ARGS="--seeds 3"
	@$(VENV)/bin/python -m benchmarks.ablation $(ARGS)

.PHONY: plots
plots: setup ## draw the figures of docs/losses.md from the losses themselves
	@$(VENV)/bin/python -m benchmarks.plot_losses $(ARGS)

.PHONY: lint
lint: setup ## ruff and mypy on the whole package
	@$(VENV)/bin/python -m ruff check
	@$(VENV)/bin/python -m ruff format --check
	@$(VENV)/bin/python -m mypy

.PHONY: format
format: setup ## let ruff format the code and fix what it can
	@$(VENV)/bin/python -m ruff check --fix --exit-zero --quiet
	@$(VENV)/bin/python -m ruff format

.PHONY: docs
docs: $(DOCS_STAMP) ## build the documentation site into site/; ends at the first warning or dead link
	@NO_MKDOCS_2_WARNING=1 $(VENV)/bin/python -m mkdocs --quiet build --strict $(ARGS)
	@$(VENV)/bin/python -m tools.docs.check_site site
	@echo "the site is site/index.html"

.PHONY: docs-serve
docs-serve: $(DOCS_STAMP) ## serve the site on http://127.0.0.1:8000 and build it again after every change
	@NO_MKDOCS_2_WARNING=1 $(VENV)/bin/python -m mkdocs serve $(ARGS)

.PHONY: docs-links
docs-links: docs ## try every link of the site that leads elsewhere; needs the network
	@$(VENV)/bin/python -m tools.docs.check_site site --elsewhere

.PHONY: diagrams
diagrams: setup ## draw the diagrams of docs/ that changed; needs npm and Chromium
	@$(VENV)/bin/python -m tools.docs.diagrams

$(DOCS_STAMP): $(STAMP)
	@EXTRA=docs PYTHON='$(PYTHON)' PIP_ARGS='$(PIP_ARGS)' TORCH_INDEX='$(TORCH_INDEX)' tools/setup.sh $(VENV)
	@touch $@

.PHONY: build
build: setup ## colcon build in a workspace of its own, and check what was installed
	@PYTHON=$(CURDIR)/$(VENV)/bin/python PIP_ARGS='$(PIP_ARGS)' tools/check_colcon_build.sh

.PHONY: wheel
wheel: setup ## build the wheel, install it without torch outside the checkout, and try it
	@PYTHON=$(CURDIR)/$(VENV)/bin/python PIP_ARGS='$(PIP_ARGS)' tools/check_wheel.sh

.PHONY: clean
clean: ## remove .venv and everything that builds and tools left (runs/ stays)
	rm -rf $(VENV) build install log dist site mutants *.egg-info .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
