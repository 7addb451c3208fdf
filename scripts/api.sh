#!/bin/sh
# Asks every operation of the console's API what its description allows, and much that it does not (schemathesis, by the hooks of
# scripts/api): no answer may be a server error or one that the description does not know, and each operation has to work now and
# then. Then by hand: who may and who may not, lock-out, the events of the stream, the copy of the store. Says at the end how many
# operations are described, were asked and worked. Needs python3 with venv, and the sample.
#   scripts/api.sh [EXAMPLES] [BINARY] [PASSES]
# SIDETAP_STORE: a store to ask in place of one of the sample; SCHEMATHESIS: the program, with its python beside it.
set -eu
cd "$(dirname "$0")/.."
examples=${1:-25}
sidetap=$(realpath -m "${2:-target/release/sidetap}")
[ -x "$sidetap" ] || cargo build --release --locked -p sidetap
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
capture=$(realpath pcaps/sample.pcap.zst)
store=${SIDETAP_STORE:-}
"$sidetap" replay --hash-key "$work/hash.key" --store "$work/store.db" "$capture" >/dev/null
[ -z "$store" ] || cp "$store" "$work/store.db"
schemathesis=${SCHEMATHESIS:-}
if [ -z "$schemathesis" ]; then
    python3 -m venv "$work/venv"
    "$work/venv/bin/pip" -q install schemathesis==4.32.5
    schemathesis=$work/venv/bin/schemathesis
fi
PYTHONDONTWRITEBYTECODE=1 "$(dirname "$schemathesis")/python" scripts/api/run.py --sidetap "$sidetap" --schemathesis "$schemathesis" --work "$work" \
    --store "$work/store.db" --capture "$capture" --examples "$examples" --only "${3:-}"
