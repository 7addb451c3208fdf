#!/bin/sh
# connectors-full.sh: what a hundred thousand entries (or as many as a device is meant for) take on each device that runs here, as a
# table: a full push, one change, taking all back, and the most memory that Sidetap used for it. Devices that are not installed are
# left out, and named.
set -eu
cd "$(dirname "$0")/.."
CARGO_PROFILE_RELEASE_LTO=${CARGO_PROFILE_RELEASE_LTO:-off}
export CARGO_PROFILE_RELEASE_LTO
echo "| device | entries | push | one change | all back | memory |"
echo "|---|---|---|---|---|---|"
for target in haproxy nftables feed devices; do
    tests=$(cargo test -q --release -p sidetap-mitigation --test $target -- --ignored --list 2>/dev/null |
        sed -n 's/^\(.*measure_a_hundred_thousand\): test$/\1/p')
    # A process each: memory that one has freed would hide what the next one takes.
    for test in $tests; do
        cargo test -q --release -p sidetap-mitigation --test $target -- \
            --ignored --nocapture --exact "$test" 2>/dev/null | grep -aoE '(\| [a-z0-9_-]+ \| [0-9]+ \|.*|skipped: .*)$' || true
    done
done
