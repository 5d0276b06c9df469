# Two commands do everything on a fresh Debian machine with rustup's stable toolchain:
#
#   make demo    set up, then run the gateway with a demo identity provider and application
#   make test    set up, then pass all tests
#
# `make help` lists the rest.

VESTIBULE := target/release/vestibule
POLICIES  := $(wildcard policies/*/policy.toml)
# All of them in JavaScript and in Python, a component for each language.
INTERPRETED := guest/js/policies/ready-made guest/python/policies/ready_made

# Node.js and componentize-py are there for this clone alone where the machine has none.
export PATH := $(CURDIR)/tests/peers/.venv/bin:$(PATH)

# Demo, tests and benches build with one choice of features, so that nothing is compiled twice.
SELECTION := --workspace --bins
test bench: SELECTION := --workspace --all-targets

.DEFAULT_GOAL := help
# The steps share target folders and ports: one after the other, whatever -j says.
.NOTPARALLEL:
.PHONY: help demo test build edge policies interpreters setup-demo setup-test test-policies test-host lint doc bench clean-demo

help:            ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 22

demo: setup-demo build policies ## set up and start the demo on loopback (Ctrl-C ends it)
	$(VESTIBULE) demo

test: setup-test build edge policies interpreters test-policies test-host ## set up and pass all tests

setup-demo:
	@scripts/setup demo

setup-test:
	@scripts/setup test

build:           ## the gateway, optimized
	@echo "==> building the gateway (the first time: wasmtime too, some ten minutes on two cores)"
	cargo build --release --locked $(SELECTION)

# Whatever does not concern the compiler is that of the build above.
edge: build      ## the gateway without a compiler (docs/edge.md)
	cargo build --release --locked --package vestibule --no-default-features --features edge --bins

policies: build  ## the ready-made policies, as components
	@echo "==> building the ready-made policies"
	$(VESTIBULE) policy build --std-cache policies/target/toolchain $(patsubst %/policy.toml,%,$(POLICIES))

interpreters: build ## policies in JavaScript and Python, as components
	@echo "==> building policies in JavaScript and Python"
	$(VESTIBULE) policy build $(INTERPRETED)

test-policies: policies ## the policies: natively, then in the sandbox
	@echo "==> testing the SDK and the policies natively"
	cargo test --locked --all-features --manifest-path guest/rust/Cargo.toml --target-dir policies/target
	cargo test --locked --manifest-path policies/Cargo.toml
	cd guest/js && node --test && npm run --silent types
	cd guest/python && python3 -m unittest discover --start-directory tests
	@echo "==> running the policies' cases in the sandbox"
	$(VESTIBULE) policy test $(patsubst %/policy.toml,%,$(POLICIES))

test-host: policies interpreters ## the gateway: units, attacks, hostile guests, end to end
	@echo "==> testing the gateway"
	cargo test --release --locked --workspace

lint: setup-demo ## formatting, clippy and rustdoc, warnings denied
	cargo fmt --all --check
	cargo fmt --all --check --manifest-path policies/Cargo.toml
	cargo fmt --all --check --manifest-path guest/rust/Cargo.toml
	cargo clippy --release --locked --workspace --all-targets -- --deny warnings
	cargo clippy --release --locked --package vestibule --no-default-features --features edge --bins -- --deny warnings
	cargo clippy --locked --manifest-path policies/Cargo.toml --workspace --all-targets -- --deny warnings
	cargo clippy --locked --manifest-path guest/rust/Cargo.toml --all-features --all-targets --target-dir policies/target -- --deny warnings
	RUSTDOCFLAGS="--deny warnings" cargo doc --release --locked --workspace --no-deps
	RUSTDOCFLAGS="--deny warnings" cargo doc --locked --manifest-path guest/rust/Cargo.toml --all-features --no-deps --target-dir policies/target

bench: setup-test edge policies ## the benches; benches/README.md says how to read them
	cargo bench --locked --workspace --bench decision --bench swap --bench gateway --bench applications --bench replay --bench edge

clean-demo:      ## forget the demo's keys, sessions and settings
	rm -rf .demo
