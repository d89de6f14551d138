# `make` alone shows what there is. Everything that can take options takes them as ARGS="...".

# A rustup installed a minute ago is not on the PATH of this shell yet.
export PATH := $(HOME)/.cargo/bin:$(PATH)

.DEFAULT_GOAL := help
.PHONY: help setup build up down demo test simulate exhaust defects poison torture bench measure-outage measure-fairness measure-limits measure-quota compare \
	instructions profile fmt lint deny

help: ## show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-16s  %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install what is missing, fetch Kafka and the schema registry (once, 163 MB)
	@stack/setup.sh

build: setup ## compile the three programs for production
	cargo build --release --workspace --bins

demo: build ## show it all: two workers, a Monday morning of bookings, failures, an audit (ARGS=--help)
	cargo run --release -p healthflow-lab --bin demo -- run $(ARGS)

test: setup ## run every test, on a real Kafka and registry that it starts itself
	cargo test --workspace $(ARGS)
	cargo bench -p healthflow-proof --bench instructions

simulate: ## live SEEDS lives of the processor in virtual time, from SEED on (LEVEL=0..3: how hostile)
	SEEDS=$(or $(SEEDS),3000) SEED=$(or $(SEED),1) LEVEL=$(or $(LEVEL),3) \
		cargo test --profile simulate -p healthflow-core --test simulation -- --nocapture

exhaust: ## try all that can happen in small worlds, at most STATES states of each (WORLD=part of a name)
	STATES=$(or $(STATES),1000000) WORLD="$(WORLD)" cargo test --profile simulate -p healthflow-core --test exhaust every_small -- --nocapture

torture: setup ## MINUTES of real processes, killed, frozen and lied to, on a real Kafka, judged by other hands (ARGS=--help)
	cargo build --profile simulate --workspace --features planted-defects --bins
	cargo run --profile simulate -p healthflow-lab --features planted-defects --bin demo -- torture --minutes $(or $(MINUTES),10) $(ARGS)

poison: setup ## how fast the others are confirmed beside one bad record of a hundred, kind by kind (ARGS=--help)
	cargo build --profile simulate --workspace --features planted-defects --bins
	cargo run --profile simulate -p healthflow-lab --features planted-defects --bin demo -- poison $(ARGS)

defects: ## break the processor on purpose, rule by rule (DEFECT=parts of names, with commas): the simulation must notice each
	DEFECT="$(DEFECT)" cargo test --profile simulate -p healthflow-core --features planted-defects --test simulation planted -- --nocapture

instructions: setup ## count the instructions of a booking's way through the pure code; too many fail
	cargo bench -p healthflow-proof --bench instructions

bench: build ## measure speed, confirmation at fixed rates, CPU, memory (ARGS=--help)
	cargo run --release -p healthflow-lab --bin demo -- bench $(ARGS)

measure-outage: build ## HealthFlow is down, for hours in virtual time and then for minutes: nothing lost or spent, fresh bookings in time (ARGS=--help)
	cargo run --profile simulate -p healthflow-core --example measure -- outage
	cargo run --release -p healthflow-lab --bin demo -- measure outage $(ARGS)

measure-fairness: build ## one practice publishes thousands at once: how the others are confirmed meanwhile (ARGS=--help)
	cargo run --release -p healthflow-lab --bin demo -- measure fairness $(ARGS)

measure-limits: build ## a backlog in 3 of 12 partitions: how much of the limit is used, never more, also without Redis (ARGS=--help)
	cargo run --release -p healthflow-lab --bin demo -- measure limits $(ARGS)

measure-quota: ## a day's quota that is too small, in virtual time: who is served, and how good the forecast is
	cargo run --profile simulate -p healthflow-core --example measure -- quota

profile: ## flamegraphs, system calls, context switches and allocations of a worker, into target/profile (ARGS=--help)
	stack/profile.sh $(ARGS)

compare: setup ## benchmark the commit OLD and this tree in turn, RUNS times each
	stack/bench_pair.sh $(OLD) $(or $(RUNS),3) $(ARGS)

up: setup ## start Kafka and the schema registry in the background
	@stack/stack.sh up

down: ## stop what `make up` started
	@stack/stack.sh down

fmt: ## format the code
	cargo fmt --all

deny: setup ## check the licences, versions and sources of what we depend on, and known faults if there is a network
	@stack/deny.sh

lint: setup ## check format, clippy (warnings are errors) and dependencies
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo clippy --workspace --all-targets --features planted-defects -- -D warnings
	@stack/deny.sh
