#!/bin/sh
# test.sh [ARGS...]: installs what tests need and runs all of them; says which ones it leaves out where it may not install.
# ARGS go to the test runner.
set -eu
cd "$(dirname "$0")/.."
# shellcheck source=scripts/packages.sh
. scripts/packages.sh

left_out=""
if ! install_packages build-essential libpcap-dev; then
  echo "test.sh: the build fails if a C compiler or libpcap is not there" >&2
fi
for package in age tshark haproxy nftables ipset iptables iputils-ping iproute2 nginx-light wrk tcpreplay zstd python3-venv; do
  install_packages "$package" || left_out="$left_out $package"
done

# The OpenAPI validator lives in an environment of its own.
venv="${CARGO_TARGET_DIR:-target}/test-venv"
if [ ! -x "$venv/bin/openapi-spec-validator" ]; then
  { python3 -m venv "$venv" && "$venv/bin/pip" install --quiet --disable-pip-version-check 'openapi-spec-validator>=0.7,<0.9'; } ||
    left_out="$left_out openapi-spec-validator"
fi
[ -x "$venv/bin/openapi-spec-validator" ] && PATH="$(cd "$venv/bin" && pwd):$PATH"
PATH="$PATH:/usr/sbin:/sbin"
export PATH

if [ -z "$left_out" ] && [ "$(id -u)" -eq 0 ]; then
  export SIDETAP_REQUIRE_TOOLS=1
fi

if command -v cargo-nextest >/dev/null; then
  cargo nextest run --workspace --locked --no-fail-fast "$@"
else
  cargo test --workspace --locked --no-fail-fast "$@"
fi

if [ "$(id -u)" -ne 0 ]; then
  echo "left out, because they need root: the full disk, nftables in a network namespace, live capture"
fi
if [ -n "$left_out" ]; then
  echo "left out, because these are not installed:$left_out"
fi
