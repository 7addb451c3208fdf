#!/bin/sh
# outcome.sh [--warm SECONDS] [--seconds SECONDS] [--dir DIR] [--bin SIDETAP] [none|addresses|haproxy|nginx|envoy ...]: what attacks achieve.
#
# In network namespaces: a small shop (scripts/outcome/shop.py) behind HAProxy, nginx or Envoy (where it is installed), configured as docs/connectors has it; Sidetap on the
# mirror with --enforce; some sixty honest clients (browsers, an office behind one address, an app, a partner, a monitor); and after
# a warm-up four attacks at once from ever new addresses (credential stuffing, enumeration of parcels, scraping, a sale's stock bought out).
# Played once for each thing that stands before the shop: nothing that acts, a device that is told addresses only, and devices that compute
# Sidetap's fingerprints. Prints what each attack got, in all and after it was refused first, and how many honest requests were refused.
# Exit status 1 where an honest request was refused, or an attack got more than a twentieth after its first refusal by fingerprint. Needs root.
set -eu
cd "$(dirname "$0")/.."
# shellcheck source=scripts/packages.sh
. scripts/packages.sh
PATH="$PATH:/usr/sbin:/sbin"
venv="${CARGO_TARGET_DIR:-target}/test-venv/bin"
[ ! -d "$venv" ] || PATH="$PATH:$(cd "$venv" && pwd)"
export PATH

warm=90 seconds=150 dir="" bin=""
while [ $# -gt 0 ]; do
  case "$1" in
    --warm) warm=$2; shift 2 ;;
    --seconds) seconds=$2; shift 2 ;;
    --dir) dir=$2; shift 2 ;;
    --bin) bin=$2; shift 2 ;;
    --*) echo "usage: outcome.sh [--warm S] [--seconds S] [--dir DIR] [--bin SIDETAP] [ROW...]" >&2; exit 2 ;;
    *) break ;;
  esac
done
[ "$(id -u)" -eq 0 ] || { echo "outcome.sh: needs root" >&2; exit 1; }
install_packages haproxy nginx-light libnginx-mod-http-js iproute2 procps python3
if [ -z "$bin" ]; then
  cargo build --release --locked -p sidetap
  bin="${CARGO_TARGET_DIR:-target}/release/sidetap"
fi
if [ -z "$dir" ]; then
  dir=$(mktemp -d)
  trap 'rm -rf "$dir"' EXIT
fi
chmod 755 "$dir" 2>/dev/null || true
PYTHONDONTWRITEBYTECODE=1 python3 scripts/outcome/run.py "$bin" docs/connectors "$dir" "$warm" "$seconds" "$@"
