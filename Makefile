# The few commands a person types. `make help` lists them.

PYTHON ?=
VENV ?= .venv
ARGS ?=

bin := $(VENV)/bin
# The environment of every cargo command: the same one each time, or PyO3 is built again.
rust_env = eval "$$($(bin)/python scripts/rust_env.py)"
runner = $(if $(shell cargo nextest --version 2>/dev/null),nextest run --no-tests=pass,test --lib --bins --tests)
# The workspace, and what is kept out of it.
manifests := $(wildcard Cargo.toml bench/Cargo.toml fuzz/Cargo.toml)
sources := Cargo.toml Cargo.lock pyproject.toml \
	$(shell find crates -name target -prune -o \( -name '*.rs' -o -name Cargo.toml \) -print)

version = 'import sys; print("%d.%d" % sys.version_info[:2])'

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: autobahn bench clean conformance conformance-all docs fmt help lint lint-deps lint-python lint-rust lint-types \
	run setup soak test test-python test-rust

help: ## List the commands
	@echo 'usage: make <command> [PYTHON=python3.12] [VENV=.venv] [ARGS="..."]'
	@echo
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 19

run: $(VENV)/.installed ## Build, install into .venv and serve the demo
	$(bin)/python examples/demo/app.py $(ARGS)

setup: $(VENV)/.installed ## Build and install into .venv, with the tools for development

test: ## Run everything: cargo tests, pytest, the conformance suite
	@$(MAKE) --no-print-directory test-rust ARGS=
	@$(MAKE) --no-print-directory test-python ARGS=
	@$(MAKE) --no-print-directory conformance ARGS=

test-rust: $(VENV)/.tools ## Run the Rust tests (ARGS: for cargo test)
	$(rust_env); cargo $(runner) $$packages --locked $(ARGS)
	$(rust_env); cargo test --doc $$packages --exclude eventlet-core --locked

test-python: $(VENV)/.installed ## Run the Python tests (ARGS: for pytest)
	$(bin)/python -m pytest $(ARGS)

conformance: $(VENV)/.installed ## Run Eventlet's own tests, downloaded (ARGS: see run.py --help)
	$(bin)/python tests/conformance/run.py --tls $(ARGS)

# Each interpreter has an environment of its own beside the first: .venv-3.10 and so on.
conformance-all: $(VENV)/.installed ## Run them on every hub, and on every CPython found
	@set -e; pythons=$(bin)/python; own=$$($(bin)/python -c $(version)); \
	for python in $$(scripts/find-python --all); do \
		version=$$("$$python" -c $(version)); \
		[ "$$version" != "$$own" ] || continue; \
		$(MAKE) --no-print-directory setup PYTHON="$$python" VENV="$(VENV)-$$version"; \
		pythons="$$pythons,$(VENV)-$$version/bin/python"; \
	done; \
	$(bin)/python tests/conformance/run.py --all-hubs --python "$$pythons" $(ARGS)

autobahn: $(VENV)/.installed ## Run the Autobahn test suite of WebSocket (ARGS: see run.py --help)
	$(bin)/python tests/autobahn/run.py $(ARGS)

bench: $(VENV)/.installed ## Measure against other libraries (ARGS: see bench/run.py --help)
	$(bin)/python bench/run.py $(ARGS)

soak: $(VENV)/.installed ## Load servers, a patched process, all primitives, web applications
	$(bin)/python tests/soak/soak.py $(or $(ARGS),--minutes 10)
	$(bin)/python tests/soak/patched.py $(or $(ARGS),--minutes 10)
	$(bin)/python tests/soak/stress.py $(or $(ARGS),--minutes 10)
	$(bin)/python tests/soak/web.py $(or $(ARGS),--minutes 20)
	$(bin)/python tests/soak/slow_clients.py

lint: lint-rust lint-python lint-types lint-deps ## Check format, lints, types, stubs, licences

lint-rust: $(VENV)/.tools
	for manifest in $(manifests); do cargo fmt --all --check --manifest-path $$manifest || exit; done
	$(rust_env); cargo clippy --workspace --all-targets --locked -- -D warnings
	if [ -f bench/Cargo.toml ]; then \
		cargo clippy --manifest-path bench/Cargo.toml --all-targets --locked -- -D warnings; fi

lint-python: $(VENV)/.tools
	$(bin)/ruff check .
	$(bin)/ruff format --check .

lint-types: $(VENV)/.installed
	$(bin)/mypy
	$(bin)/python -m mypy.stubtest eventlet._core

# The advisories are those of a database that has to be fetched: without it, the rest is checked.
lint-deps:
	@if ! cargo deny --version >/dev/null 2>&1; then \
		echo 'SKIPPED: licences and advisories of the crates, as cargo-deny is not installed'; \
	elif cargo deny fetch db >/dev/null 2>&1; then cargo deny check; \
	else echo 'SKIPPED: advisories, as their database cannot be fetched'; \
		cargo deny check bans licenses sources; fi

fmt: $(VENV)/.tools ## Format Rust and Python
	for manifest in $(manifests); do cargo fmt --all --manifest-path $$manifest || exit; done
	$(bin)/ruff check --fix --exit-zero .
	$(bin)/ruff format .

docs: $(VENV)/.installed ## Build the documentation
	@if [ ! -f docs/conf.py ]; then echo 'no documentation to build yet'; \
	else $(bin)/pip install --quiet -r docs/requirements.txt && \
		$(bin)/python -m sphinx -W -b html docs docs/_build/html; fi

clean: ## Remove everything that was built
	cargo clean
	rm -rf "$(VENV)" "$(VENV)"-3.* build dist docs/_build .mypy_cache .pytest_cache .ruff_cache
	rm -f python/eventlet/_core*.so
	find python tests scripts examples -name __pycache__ -type d -prune -exec rm -rf {} +

# The virtual environment and the tools in it: made again when the list of tools changes.
$(VENV)/.tools: pyproject.toml
	@command -v cargo >/dev/null || { \
		echo 'Rust 1.85 or newer is needed (cargo was not found): see https://rustup.rs' >&2; exit 1; }
	@set -e; python='$(PYTHON)'; [ -n "$$python" ] || python=$$(scripts/find-python); \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
		echo "Python 3.10 or newer is needed: $$python is older, or does not run" >&2; exit 1; }; \
	[ -x "$(bin)/python" ] || { echo "making $(VENV) with $$python"; "$$python" -m venv "$(VENV)"; }
	@$(bin)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(bin)/python -m pip install --quiet --group dev
	@$(bin)/python -m pip install --quiet --group compiled-drivers 2>$(VENV)/compiled-drivers.log || \
		echo "without mysqlclient, which could not be built: see $(VENV)/compiled-drivers.log"
	@touch $@

# The package itself, in place: only a change to its Rust side needs a build.
$(VENV)/.installed: $(VENV)/.tools $(sources)
	PATH="$(abspath $(bin)):$$PATH" \
		$(bin)/python -m pip install --quiet --no-build-isolation --editable .
	@touch $@
