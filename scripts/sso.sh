#!/bin/sh
# Logs in to the console by a real provider of OpenID Connect (npm's oidc-provider, on loopback): who has a role is let in with it and
# nobody else; a state, a code and a browser that are not of this log-in are refused. Needs node and npm.
#   scripts/sso.sh [BINARY]
set -eu
cd "$(dirname "$0")/.."
sidetap=$(realpath -m "${1:-target/debug/sidetap}")
[ -x "$sidetap" ] || cargo build --locked -p sidetap
here=$(pwd)
work=$(mktemp -d)
pids=
trap 'for p in $pids; do kill "$p" 2>/dev/null || true; done; rm -rf "$work"' EXIT
cd "$work"
echo '{"private": true}' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts oidc-provider@9
cp "$here/scripts/sso.mjs" .
printf '[store]\npath = "s.db"\n' >sidetap.toml
"$sidetap" store --store s.db reset-users >/dev/null
node sso.mjs provider >provider.log 2>&1 &
pids="$pids $!"
n=0
until grep -q listening provider.log; do
    n=$((n + 1)); [ "$n" -lt 100 ] || { cat provider.log >&2; exit 1; }
    sleep 0.2
done
issuer=$(sed -n 's/^listening //p' provider.log)
printf 'a-secret-of-the-client-of-sidetap' >secret
cat >>sidetap.toml <<TOML
[sso]
issuer = "$issuer"
name = "Test"
client_id = "sidetap"
client_secret = { file = "secret" }
url = "http://127.0.0.1:18642"
roles = { "soc" = "analyst" }
TOML
"$sidetap" serve --listen 127.0.0.1:18642 2>said &
pids="$pids $!"
n=0
until grep -q one-time said; do
    n=$((n + 1)); [ "$n" -lt 100 ] || { cat said >&2; exit 1; }
    sleep 0.2
done
node sso.mjs drive http://127.0.0.1:18642 "$(sed -n 's/.*one-time token: //p' said)" || { cat said provider.log >&2; exit 1; }
