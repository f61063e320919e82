#!/usr/bin/env bash
# Builds the Rust plugins that are committed beside this file, and writes their hashes.
#
#     plugins/examples/build.sh [OUT]
#
# With the target wasm32-wasip2, `flow plugin build` builds each. This script needs no such
# target: Debian's rustc-web, cargo-web and rust-web-src (1.96) build the standard library for it,
# and `wasm-component-ld` of the host's toolchain makes the component.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here}
rustc=${GUEST_RUSTC:-/usr/bin/rustc}
cargo=${GUEST_CARGO:-/usr/bin/cargo}
work=${GUEST_TARGET:-$(mktemp -d)}

bin=$(rustup run 1.95.0 rustc --print sysroot)/lib/rustlib/x86_64-unknown-linux-gnu/bin
linker=$work/wcld.sh
mkdir -p "$work"
printf '#!/bin/sh\n[ "$1" = "-flavor" ] && shift 2\nexec %s/wasm-component-ld --wasm-ld-path=%s/gcc-ld/wasm-ld "$@"\n' \
    "$bin" "$bin" >"$linker"
chmod +x "$linker"

cd "$here"
# Paths of this machine are no part of what is built; of remaps that fit, the last one counts.
cargo_home=${CARGO_HOME:-$HOME/.cargo}
remaps="--remap-path-prefix=$(dirname "$here")=plugins --remap-path-prefix=$cargo_home=cargo"
for crates in "$cargo_home"/registry/src/*; do
    remaps+=" --remap-path-prefix=$crates=crates"
done
remaps+=" --remap-path-prefix=$work=target"
RUSTC=$rustc RUSTC_BOOTSTRAP=1 RUSTFLAGS=$remaps \
    CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=$linker CARGO_TARGET_DIR=$work \
    "$cargo" build --quiet --release --locked --target wasm32-unknown-unknown \
    -Z build-std=std,panic_abort
for plugin in check-totals workers-ai; do
    mkdir -p "$out/$plugin"
    cp "$work/wasm32-unknown-unknown/release/${plugin//-/_}.wasm" "$out/$plugin/$plugin.wasm"
done
(cd "$out" && sha256sum check-totals/check-totals.wasm workers-ai/workers-ai.wasm >SHA256SUMS)
