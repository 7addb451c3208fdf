#!/bin/sh
# ablation.sh [--capture FILE --truth DIR [--option OPTION]...] [--seed N] [--scale N] [--bin DIR] [--no-model] [--left-out]: what each part of the judgement is worth.
#
# Replays a capture with its labels (DIR holds labels.ndjson and requests.ndjson as the synthesizer writes them; a world of it where nothing is
# named) as it is, then without each pillar of indicators, without campaigns, contrast, addresses, network intelligence and learned anomaly
# (`sidetap replay --without PART`), and prints one table: precision and recall of convicted clients, honest clients convicted, recall of the
# worst class, campaigns found (half of the clients of both).
# Beside it stands a gradient-boosted model (scikit-learn, in a virtual environment of its own) over features of the log alone, trained on
# half of the clients of each campaign and of each kind of honest client, judged by the other half; and the same trained without the campaigns
# that it is judged by.
# With --left-out instead: recall of each class without its own rules (found under another class, or not at all), and of each class and
# each application beside boosted trees that never saw it.
set -eu
cd "$(dirname "$0")/.."

capture= truth= seed=7 scale=2 bin= model=1 options="" dir="${CARGO_TARGET_DIR:-target}/ablation"
while [ $# -gt 0 ]; do
  case "$1" in
    --capture) capture=$2; shift 2 ;;
    --truth) truth=$2; shift 2 ;;
    --option) options="$options $2"; shift 2 ;;
    --seed) seed=$2; shift 2 ;;
    --scale) scale=$2; shift 2 ;;
    --bin) bin=$2; shift 2 ;;
    --no-model) model=; shift ;;
    --left-out) export LEFT_OUT=1; shift ;;
    *) echo "usage: ablation.sh [--capture FILE --truth DIR [--option OPTION]...] [--seed N] [--scale N] [--bin DIR] [--no-model] [--left-out]" >&2; exit 2 ;;
  esac
done
if [ -z "$bin" ]; then
  cargo build --quiet --release --locked -p sidetap -p sidetap-testkit
  bin="${CARGO_TARGET_DIR:-target}/release"
fi
mkdir -p "$dir"
if [ -z "$capture" ]; then
  capture="$dir/world.pcap" truth="$dir"
  "$bin/testkit" synthesize "$capture" --seed "$seed" --scale "$scale" --situations --public
  # The newspaper's CDN is declared: behind one that is not, verdicts name its addresses with a fingerprint, which labels do not know.
  options="$options --trusted-proxies 198.51.100.0/24"
fi
python=python3
if [ -n "$model" ] && ! python3 -c 'import sklearn' 2> /dev/null; then
  [ -x "$dir/venv/bin/python" ] || python3 -m venv "$dir/venv"
  "$dir/venv/bin/python" -c 'import sklearn' 2> /dev/null || "$dir/venv/bin/pip" install --quiet scikit-learn
  python="$dir/venv/bin/python"
fi
exec "$python" scripts/ablation.py "$bin/sidetap" "$capture" "$truth" "$dir" "${model:-0}" $options
