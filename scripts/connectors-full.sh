#!/bin/sh
# connectors-full.sh [ENTRIES]: what a hundred thousand entries (or ENTRIES, or as many as a device is meant for) take on each device that
# runs here, as a table: a full push, one change, taking all back, and the most memory that Sidetap used for it. Devices that are not installed
# are left out, and named; one whose test fails is named with the reason, and the exit status is 1.
set -eu
cd "$(dirname "$0")/.."
CARGO_PROFILE_RELEASE_LTO=${CARGO_PROFILE_RELEASE_LTO:-off}
SIDETAP_ENTRIES=${1:-100000}
export CARGO_PROFILE_RELEASE_LTO SIDETAP_ENTRIES
target=${CARGO_TARGET_DIR:-target}
PATH="$PATH:/usr/sbin:/sbin"
for dir in "$target/test-venv/bin" "$target/test-crowdsec/usr/bin"; do
    [ ! -d "$dir" ] || PATH="$PATH:$(cd "$dir" && pwd)"
done
export PATH
cargo test -q --release -p sidetap-mitigation --no-run
out=$(mktemp)
trap 'rm -f "$out"' EXIT
failed=0
echo "| device | entries | push | one change | all back | memory |"
echo "|---|---|---|---|---|---|"
for target in haproxy nftables feed devices; do
    tests=$(cargo test -q --release -p sidetap-mitigation --test $target -- --ignored --list 2>/dev/null |
        sed -n 's/^\(.*measure_a_hundred_thousand\): test$/\1/p')
    # A process each: memory that one has freed would hide what the next one takes.
    for test in $tests; do
        cargo test -q --release -p sidetap-mitigation --test $target -- \
            --ignored --nocapture --exact "$test" >"$out" 2>&1 || {
            failed=1
            echo "failed: $target $test: $(grep -a -A1 panicked "$out" | tail -n 1)"
        }
        grep -aoE '(\| [a-z0-9_-]+ \| [0-9]+ \|.*|skipped: .*)$' "$out" || true
    done
done
exit $failed
