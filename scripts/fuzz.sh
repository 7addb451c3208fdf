#!/bin/sh
# fuzz.sh TARGET [SECONDS]: runs a fuzz target, an hour if nothing else is said; `fuzz.sh --list` names them.
#
# Needs the nightly toolchain and cargo-fuzz (cargo install cargo-fuzz). The corpus (fuzz/corpus, not committed) begins with what the
# dialogues in fixtures/ give and with what is in fixtures/fuzz/TARGET. What crashes is left in fuzz/artifacts: mend it, and move the input,
# made small with `cargo +nightly fuzz tmin`, to fixtures/fuzz/TARGET, where an ordinary test replays it.
set -eu
cd "$(dirname "$0")/.."

if [ $# -lt 1 ] || [ "$1" = --list ]; then
  for file in fuzz/fuzz_targets/*.rs; do basename "$file" .rs; done
  exit 0
fi
target=$1 seconds=${2:-3600}
[ -f "fuzz/fuzz_targets/$target.rs" ] || { echo "fuzz.sh: $target is no target (--list)" >&2; exit 2; }
command -v cargo-fuzz >/dev/null || { echo "fuzz.sh: cargo-fuzz is missing: cargo install cargo-fuzz" >&2; exit 2; }

cargo run --quiet --locked -p sidetap-testkit --bin testkit -- seeds fixtures/http1 fuzz/corpus
mkdir -p "fuzz/corpus/$target"
[ ! -d "fixtures/fuzz/$target" ] || cp fixtures/fuzz/"$target"/* "fuzz/corpus/$target/"
exec cargo +nightly fuzz run "$target" -- -max_total_time="$seconds" -timeout=20 -rss_limit_mb=4096 -max_len=65536 -print_final_stats=1
