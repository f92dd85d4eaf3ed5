# `docker build --tag outrigger .`: the control plane and every subcommand, as a user without rights. `--target capture` is
# the same as root and with `nft`, for `outrigger capture`.

FROM rust:1.95-slim-trixie AS build
WORKDIR /build
# 60 MB less; symbols stay, for backtraces.
ENV CARGO_PROFILE_RELEASE_DEBUG=none
# The dependencies alone, with an empty crate: built again only when these two files change. Cargo wants a file for each
# benchmark that the manifest names, too. What was built of the empty crate goes: the sources that come next are older than
# it, and Cargo would take it for theirs.
COPY Cargo.toml Cargo.lock ./
RUN mkdir src benches \
 && touch src/lib.rs \
 && echo 'fn main() {}' > src/main.rs \
 && sed -n '/^\[\[bench\]\]$/ { n; s/^name = "\(.*\)"$/benches\/\1.rs/p }' Cargo.toml | xargs --no-run-if-empty touch \
 && cargo build --release --locked \
 && cargo clean --release --package outrigger
COPY config/mesh config/mesh
COPY envoy envoy
COPY proto proto
COPY src src
RUN cargo build --release --locked

FROM debian:trixie-slim AS capture
RUN apt-get update \
 && apt-get install --yes --no-install-recommends nftables \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build /build/target/release/outrigger /usr/local/bin/outrigger
ENTRYPOINT ["outrigger"]

FROM debian:trixie-slim
# By which a mirror's target is known over TLS.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /build/target/release/outrigger /usr/local/bin/outrigger
# A volume for `--data-dir` takes its owner from here.
RUN install --directory --owner 65532 --group 65532 --mode 0700 /var/lib/outrigger
USER 65532:65532
ENTRYPOINT ["outrigger"]
