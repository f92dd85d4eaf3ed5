# Every target is one command; `make ci` is what continuous integration runs.
.PHONY: check fmt lint deny test e2e bench doc run demo compose-check ci

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
	cargo bench --bench incremental --bench discovery --bench endpoints

doc:
	RUSTDOCFLAGS="--deny warnings --allow rustdoc::private_intra_doc_links" cargo doc --no-deps --document-private-items

run:
	cargo run --release -- serve --mesh config/mesh

demo:
	cargo run --release -- demo --check

# By hand, where there is a container engine.
compose-check:
	tests/compose.sh

ci: fmt lint deny doc test demo
