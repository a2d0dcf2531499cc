#!/bin/sh
# Makes the image `hemline-demo:local`: one file, a `hem` without shared libraries. Nothing is downloaded by the engine.
# It needs Rust, a C compiler with the static C library (Debian: libc6-dev), and docker (or DOCKER=podman).
set -eu
cd "$(dirname "$0")/../.."
docker="${DOCKER:-docker}"
host="$(rustc -vV | sed -n 's/^host: //p')"
# Naming the target keeps build scripts out of the static flag. The C library it links is the machine's own.
RUSTFLAGS="-C target-feature=+crt-static" cargo build --release --package hemline-cli --target "$host"
image="$(mktemp -d)"
trap 'rm -rf "$image"' EXIT
mkdir -p "$image/bin" "$image/tmp"
cp "${CARGO_TARGET_DIR:-target}/$host/release/hem" "$image/bin/hem"
tar -C "$image" -c . | "$docker" import --change 'ENV PATH=/bin' - hemline-demo:local
