#!/bin/sh
# Asks the console's API everything that its description allows, and much that it does not; no answer may be a server error or
# one that the description does not know. Needs python3 with venv, and the sample.
#   scripts/api.sh [EXAMPLES] [BINARY]
set -eu
cd "$(dirname "$0")/.."
examples=${1:-25}
sidetap=$(realpath -m "${2:-target/release/sidetap}")
[ -x "$sidetap" ] || cargo build --release --locked -p sidetap
work=$(mktemp -d)
trap 'kill "$pid" 2>/dev/null || true; rm -rf "$work"' EXIT
pid=
store=${SIDETAP_STORE:-}
if [ -z "$store" ]; then
    store=$work/sidetap.db
    "$sidetap" replay --hash-key "$work/key" --store "$store" pcaps/sample.pcap.zst >/dev/null
else
    cp "$store" "$work/copy.db"
    store=$work/copy.db
fi
python=${SCHEMATHESIS:-}
if [ -z "$python" ]; then
    python3 -m venv "$work/venv"
    "$work/venv/bin/pip" -q install schemathesis
    python=$work/venv/bin/schemathesis
fi
"$sidetap" store --store "$store" reset-users >/dev/null
"$sidetap" serve --store "$store" --listen 127.0.0.1:0 2>"$work/said" &
pid=$!
n=0
until grep -q one-time "$work/said"; do
    n=$((n + 1)); [ "$n" -lt 100 ] || { cat "$work/said" >&2; exit 1; }
    sleep 0.1
done
url=$(sed -n 's/.*console: \(http[^ ]*\)\/$/\1/p' "$work/said" | head -n 1)
token=$(sed -n 's/.*one-time token: //p' "$work/said")
json() { curl -s -o "$work/answer" -D "$work/head" -H 'Content-Type: application/json' "$@"; }
json -d "{\"token\":\"$token\",\"name\":\"admin\",\"password\":\"correct horse battery\"}" "$url/api/v1/setup"
cookie=$(sed -n 's/^set-cookie: \([^;]*\).*/\1/p' "$work/head" | tr -d '\r' | head -n 1)
csrf=$(sed -n 's/.*"csrf":"\([^"]*\)".*/\1/p' "$work/answer")
json -H "Cookie: $cookie" -H "X-Sidetap-CSRF: $csrf" -d '{"name":"schemathesis","role":"admin"}' "$url/api/v1/tokens"
api=$(sed -n 's/.*"token":"\([^"]*\)".*/\1/p' "$work/answer")
# What would end the test is left out: streams, the users that it acts as, log-in and its lock-out.
cd "$work"
"$python" run "$url/api/v1/openapi.json" --url "$url" -H "Authorization: Bearer $api" \
    --checks not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance \
    --max-examples "$examples" --phases examples,coverage,fuzzing --generation-database none \
    --exclude-path /api/v1/events --exclude-path-regex '^/api/v1/(users|tokens|session|setup)' --exclude-path /api/v1/settings/backup
