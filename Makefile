# Every target is one command; `make ci` is what continuous integration runs.
.PHONY: check fmt lint deny test e2e bench bench-fleet soak fleet-build fleet-check fuzz-check clients-check doc run demo compose-check ci

check:
	cargo check --all-targets

fmt:
	cargo fmt --check

lint:
	cargo clippy --all-targets -- --deny warnings

deny:
	cargo deny --log-level error check licenses bans sources

test:
	cargo test

e2e:
	cargo test --test it

bench:
	cargo bench --bench incremental --bench discovery --bench endpoints --bench api

# Outrigger beside go-control-plane and a bare server, under thousands of sidecars. ARGS are options of `bench-fleet run`.
bench-fleet: fleet-build
	target/release/bench-fleet run $(ARGS)

# Outrigger killed every 30 s under a fleet and steady changes. ARGS are options of `bench-fleet soak`, such as --for 2m.
soak:
	cargo build --release
	cargo build --release $(FLEET) $(FLEET_TARGET)
	target/release/bench-fleet soak $(ARGS)

FLEET = --manifest-path benches/fleet/Cargo.toml
FLEET_TARGET = --target-dir target

fleet-build:
	cargo build --release
	cargo build --release $(FLEET) $(FLEET_TARGET)
	cd benches/fleet/peer && go build -o ../../../target/release/fleet-peer .

# The benchmark's programs, which are packages of their own; the one in Go where there is Go.
fleet-check:
	cargo fmt $(FLEET) --all --check
	cargo clippy $(FLEET) $(FLEET_TARGET) --all-targets -- --deny warnings
	cargo test $(FLEET) $(FLEET_TARGET)
	@if command -v go >/dev/null; then cd benches/fleet/peer && go vet ./... && go test ./...; \
	else echo "benches/fleet/peer is not checked: there is no Go"; fi

# The fuzz target, as far as stable Rust goes: only running it needs a nightly one.
fuzz-check:
	cargo fmt --manifest-path fuzz/Cargo.toml --check
	cargo clippy --manifest-path fuzz/Cargo.toml --target-dir target --locked -- --deny warnings

# App Mesh's API under AWS's two SDKs for Go, where there is Go.
clients-check:
	cargo build
	@if command -v go >/dev/null; then cd tests/clients/go && go vet ./... && go test -count=1 ./...; \
	else echo "tests/clients/go is not run: there is no Go"; fi

doc:
	RUSTDOCFLAGS="--deny warnings --allow rustdoc::private_intra_doc_links" cargo doc --no-deps --document-private-items

run:
	cargo run --release -- serve --mesh config/mesh

demo:
	cargo run --release -- demo --check

# By hand, where there is a container engine.
compose-check:
	tests/compose.sh

ci: fmt lint deny doc test fleet-check fuzz-check clients-check demo
