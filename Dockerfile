# syntax=docker/dockerfile:1
# healthflow-sync and healthflow-simulator in one small image. The command chooses: `healthflow-sync run`, ...

FROM rust:1.95-bookworm AS build
WORKDIR /build
COPY Cargo.toml Cargo.lock ./
COPY src src
COPY crates crates
# What the programs take in when they are compiled.
COPY schemas schemas
COPY config config
RUN cargo build --release --locked -p healthflow-sync -p healthflow-simulator --bins

FROM debian:bookworm-slim
# OpenSSL and the authorities' certificates for TLS, curl for health checks.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates curl libssl3 \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /build/target/release/healthflow-sync /build/target/release/healthflow-simulator /usr/local/bin/
# A number, so that Kubernetes can see that it is not root.
USER 10001:10001
# Metrics, health and status of a worker; the simulator's API.
EXPOSE 9464 8080
CMD ["healthflow-sync", "run"]
