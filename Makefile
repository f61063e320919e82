# `make demo` and `make test` do everything on a fresh Debian or Ubuntu machine.

TARGET := $(or $(CARGO_TARGET_DIR),target)
FLOW := $(TARGET)/debug/flow
export PATH := $(or $(CARGO_HOME),$(HOME)/.cargo)/bin:$(PATH)

.PHONY: help demo test large check bench soak fuzz cuda models setup

help: ## show this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 16

demo: models ## read a real invoice
	cargo build --locked
	$(FLOW) run workflows/invoice.yaml --input file=workflows/samples/invoice.pdf --store $(TARGET)/demo

test: setup ## run every test
	@scripts/fetch-ocr-models || echo "no OCR models: the tests that read scans are skipped" >&2
	@scripts/fetch-llama-model || echo "no language model: the tests that ask one are skipped" >&2
	@scripts/fetch-guest-tools || echo "no tools for plugins: the tests that build them are skipped" >&2
	@if cargo nextest --version >/dev/null 2>&1; then \
		set -x; cargo nextest run --locked --workspace --all-targets; \
	else \
		set -x; cargo test --locked --workspace --all-targets; \
	fi
	cargo test --locked --workspace --doc

large: setup ## upload 2 GB, and measure the memory that takes
	cargo test --locked --test uploads -- --ignored --nocapture

check: setup ## format, lints and docs, as the checks want them
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps

bench: models ## measure against limits and peers (ROWS="chain start" for some)
	cargo build --release --locked --features ort
	cargo build --release --locked --package flow-providers --example exchange
	cargo build --release --locked --package flow-plugins --example plugin_calls
	-scripts/fetch-bench-peers
	-scripts/fetch-onnxruntime
	-scripts/fetch-llama-model
	-scripts/build-llama-tools release
	benches/run $(ROWS) --flow $(TARGET)/release/flow

soak: models ## run, kill and resume a mix for SECONDS (3600), with SEED
	cargo build --locked
	soak/run --flow $(FLOW) --seconds $(or $(SECONDS),3600) $(if $(SEED),--seed $(SEED))

fuzz: setup ## look for inputs that break a promise, for SECONDS each (FUZZ=yaml for one target)
	scripts/fuzz "$(FUZZ)" $(SECONDS)

cuda: setup ## build for a graphics card, with a toolkit from packages where there is none
	scripts/cuda-env cargo build --locked --target-dir $(TARGET)/cuda --features cuda

models: setup ## fetch the OCR models into the cache folder
	scripts/fetch-ocr-models

setup: ## install what building needs and this machine lacks
	@scripts/setup
