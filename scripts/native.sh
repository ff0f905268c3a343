#!/usr/bin/env bash
# The native decoder, where a Rust tool chain is; without one this says so and does nothing, unless
# KINESIS_SOURCE_REQUIRE_NATIVE is 1.
#   native.sh install VENV | wheel VENV | lint | fmt
set -euo pipefail
cd "$(dirname "$0")/.."
command=$1
oldest=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' native/Cargo.toml)

# Installed, and on no PATH yet: the usual place.
if ! command -v cargo >/dev/null && [ -x "$HOME/.cargo/bin/cargo" ]; then
  PATH="$HOME/.cargo/bin:$PATH"
fi

go_without() {
  if [ "${KINESIS_SOURCE_REQUIRE_NATIVE:-}" = 1 ]; then
    echo "$1 Install Rust $oldest or later from https://rustup.rs" >&2
    exit 1
  fi
  echo "$1 The native decoder is left out: replies are decoded in Python, to the same rows." >&2
  echo "With Rust $oldest or later (https://rustup.rs), 'make native' builds it." >&2
  exit 0
}

command -v cargo >/dev/null || go_without "There is no Rust tool chain (cargo)."
have=$(cargo --version | cut -d ' ' -f 2)
[ "$(printf '%s\n' "$oldest" "$have" | sort -V | head -n 1)" = "$oldest" ] ||
  go_without "Rust $have is too old."

case $command in
  install)
    echo "Building the native decoder with Rust $have"
    "$2/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps \
      --force-reinstall ./native
    ;;
  wheel) "$2/bin/python" -m pip wheel --quiet --disable-pip-version-check --no-deps \
    --wheel-dir dist ./native ;;
  lint)
    for tool in rustfmt cargo-clippy; do
      command -v "$tool" >/dev/null || go_without "There is no $tool."
    done
    cd native
    cargo fmt --check
    cargo clippy --quiet --locked -- --deny warnings
    ;;
  fmt) cd native && cargo fmt ;;
esac
