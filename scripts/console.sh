#!/bin/sh
# console.sh [build|check|e2e|live]: the console's pages. build (the default) makes crates/console/web/dist, which the next `cargo build`
# takes into the binary; check runs their unit tests; e2e drives Debian's Chromium over a store filled from the sample (SIDETAP_BIN
# names the binary); live plays the story of an attack on a mirror in network namespaces with HAProxy (root). Nothing but npm's registry is asked, and only for what the lock file names.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
web="$here/crates/console/web"
# shellcheck source=scripts/packages.sh
. "$here/scripts/packages.sh"

if ! command -v npm >/dev/null; then
  install_packages nodejs npm || {
    echo "console.sh: no node and npm here: the binary will show a placeholder page" >&2
    exit 1
  }
fi
cd "$web"

# Exactly what the lock file names, once for each lock file.
if ! cmp -s package-lock.json node_modules/.sidetap-lock; then
  npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
  cp package-lock.json node_modules/.sidetap-lock
fi

case "${1:-build}" in
  build)
    if [ ! -f dist/index.html ] || [ -n "$(find src public index.html vite.config.ts package-lock.json -newer dist/index.html -print -quit)" ]; then
      npm run --silent build -- --logLevel warn
      touch dist/index.html
    fi
    ;;
  check) npm run --silent unit ;;
  e2e) npm run --silent e2e ;;
  live) node --test tests/live.e2e.mjs ;;
  *)
    echo "usage: console.sh [build|check|e2e|live]" >&2
    exit 2
    ;;
esac
