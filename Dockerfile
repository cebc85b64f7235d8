# syntax=docker/dockerfile:1
# One image, three services: without arguments all of them on one data folder, arguments choose.
# `cargo xtask image` makes the same without a registry.
#
# Where crates come from a registry of your own: docker build --secret id=cargo-config,src=$HOME/.cargo/config.toml .
# The base is pinned to its bytes, for all platforms: `docker buildx imagetools inspect` says the digest that belongs to
# another tag. It goes with rust-toolchain.toml.

FROM docker.io/library/rust:1.95.0-alpine3.22@sha256:064dfc925d68d1a63f4fd2871bd7dc6e6ea56692989a487185855d62885d90aa AS chef
# The one that is there, not one that rust-toolchain.toml would fetch beside it.
ENV RUSTUP_TOOLCHAIN=1.95.0
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=secret,id=cargo-config,target=/usr/local/cargo/config.toml \
    cargo install --locked cargo-chef --version 0.1.78
WORKDIR /build

FROM chef AS plan
COPY . .
RUN cargo chef prepare --recipe-path recipe.json

FROM chef AS build
COPY --from=plan /build/recipe.json recipe.json
# What is depended on: built again only when Cargo.lock changes.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=secret,id=cargo-config,target=/usr/local/cargo/config.toml \
    cargo chef cook --locked --release --target "$(uname -m)-unknown-linux-musl" --recipe-path recipe.json \
      --package pixel-playground --package loadgen
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=secret,id=cargo-config,target=/usr/local/cargo/config.toml \
    cargo build --locked --release --target "$(uname -m)-unknown-linux-musl" \
      --package pixel-playground --package loadgen \
    && install -D -m 0555 -t /programs target/*-unknown-linux-musl/release/loadgen \
      target/*-unknown-linux-musl/release/pixel-playground
RUN mkdir /data

FROM scratch
ARG VERSION=unreleased
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Pixel Playground" \
      org.opencontainers.image.description="One command, one canvas, everyone paints." \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build --chown=65532:65532 /data /data
COPY --from=build /programs/loadgen /programs/pixel-playground /
ENV PIXEL_PLAYGROUND_STORE=embedded:/data \
    PIXEL_PLAYGROUND_FRONTEND_LISTEN=0.0.0.0:3000 \
    PIXEL_PLAYGROUND_API_LISTEN=0.0.0.0:3001 \
    PIXEL_PLAYGROUND_GATEWAY_LISTEN=0.0.0.0:3002 \
    PIXEL_PLAYGROUND_OPS_LISTEN=0.0.0.0:3009 \
    PIXEL_PLAYGROUND_LOG_FORMAT=json
EXPOSE 3000 3001 3002 3009
USER 65532:65532
WORKDIR /data
VOLUME /data
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["/pixel-playground", "healthcheck"]
ENTRYPOINT ["/pixel-playground"]
