#!/bin/sh
# live.sh [SECONDS] [PAUSE_MS] [CONNECTIONS]: watches a mirror port while wrk drives nginx, and compares what was seen with nginx's log.
#
# A client and a server are joined by a bridge that learns nothing, so that a third port of it shows every frame: the mirror. All of it
# lives in network namespaces that are removed at the end. First at a pace that the sensor keeps up with (PAUSE_MS before each
# request of a connection; no drops: every exchange must be there), then for ten seconds as fast as wrk goes into a ring too small for
# it (what was received and what was dropped must add up to what the port counted). Needs root.
set -eu
cd "$(dirname "$0")/.."
# shellcheck source=scripts/packages.sh
. scripts/packages.sh
PATH="$PATH:/usr/sbin:/sbin"
seconds=${1:-120} pause=${2:-1} connections=${3:-16}
[ "$(id -u)" -eq 0 ] || { echo "live.sh: needs root" >&2; exit 1; }
install_packages nginx-light wrk iproute2 procps jq
bin=${SIDETAP:-}
if [ -z "$bin" ]; then
  cargo build --release --locked -p sidetap
  bin="${CARGO_TARGET_DIR:-target}/release/sidetap"
fi
bin=$(readlink -f "$bin")

work=$(mktemp -d)
chmod 755 "$work"
id="stl$$"
nginx_pid="" watch=""
clean() {
  [ -z "$watch" ] || kill "$watch" 2>/dev/null || true
  [ -z "$nginx_pid" ] || kill "$nginx_pid" 2>/dev/null || true
  for n in h c s m; do ip netns del "$id$n" 2>/dev/null || true; done
  rm -rf "$work"
}
trap clean EXIT INT TERM

for n in h c s m; do
  ip netns add "$id$n"
  ip netns exec "$id$n" sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1
done
ip -n "${id}h" link add br0 type bridge ageing_time 0
ip -n "${id}h" link set br0 up
for n in c s m; do
  ip -n "${id}h" link add "v$n" type veth peer name eth0 netns "$id$n"
  ip -n "${id}h" link set "v$n" master br0 up
  ip -n "$id$n" link set eth0 up
done
ip -n "${id}c" addr add 10.91.0.1/24 dev eth0
ip -n "${id}s" addr add 10.91.0.2/24 dev eth0

cat >"$work/nginx.conf" <<EOF
user root; worker_processes 1; daemon off; pid $work/nginx.pid; error_log $work/error.log;
events { worker_connections 1024; }
http {
  client_body_temp_path $work/t1; proxy_temp_path $work/t2; fastcgi_temp_path $work/t3; uwsgi_temp_path $work/t4; scgi_temp_path $work/t5;
  keepalive_requests 1000000000; log_format p '\$remote_port \$status'; access_log $work/access.log p buffer=64k flush=1s;
  server { listen 10.91.0.2:80; location / { default_type application/json; return 200 '{"id":1,"name":"a thing"}'; } }
}
EOF
ip netns exec "${id}s" nginx -c "$work/nginx.conf" &
nginx_pid=$!
tries=0
until ip netns exec "${id}s" ss -ltn | grep -q 10.91.0.2:80; do
  tries=$((tries + 1))
  [ "$tries" -lt 100 ] || { echo "live.sh: nginx does not listen" >&2; exit 1; }
  sleep 0.1
done

counted() { ip netns exec "${id}m" cat /sys/class/net/eth0/statistics/rx_packets; }

# round NAME SECONDS PAUSE WATCH_ARGS...: one run; prints a line and leaves its figures in $complete, $answered, $read, $dropped, $arrived.
round() {
  name=$1 time=$2 wait=$3
  shift 3
  : >"$work/access.log"
  printf 'local n = 0\nfunction delay() return %s end\n' "$wait" >"$work/pace.lua"
  before=$(counted)
  ip netns exec "${id}m" "$bin" watch -i eth0 --out "$work/$name" --exchanges --hash-key "$work/key" "$@" >"$work/$name.txt" 2>"$work/$name.log" &
  watch=$!
  sleep 2
  grep -q "rights given up" "$work/$name.log" || { cat "$work/$name.log" >&2; exit 1; }
  ip netns exec "${id}c" wrk -t2 -c"$connections" -d"${time}s" -s "$work/pace.lua" http://10.91.0.2/ >"$work/wrk.txt"
  sleep 3
  kill -TERM "$watch"
  wait "$watch" || { cat "$work/$name.log" >&2; exit 1; }
  watch=""
  arrived=$(($(counted) - before))
  answered=$(awk '$2 != 499' "$work/access.log" | wc -l)
  summary="$work/$name/summary.json"
  complete=$(jq .exchanges.complete "$summary")
  read=$(jq .packets.total "$summary")
  dropped=$(jq .packets.kernel_dropped "$summary")
  shed=$(jq '[.packets.dropped["flow-shed"], .packets.dropped["queue-full"]] | map(. // 0) | add' "$summary")
  rate=$(awk '/Requests\/sec/ { print $2 }' "$work/wrk.txt")
  echo "$name: $time s, $rate requests/s; answered $answered, complete $complete; port $arrived packets = read $read + dropped $dropped; shed $shed; $(jq '.peak_rss_bytes / 1048576 | floor' "$summary") MiB"
}

failed=0
round paced "$seconds" "$pause"
[ "$dropped" -eq 0 ] && [ "$shed" -eq 0 ] || { echo "paced: drops, so exchanges cannot be compared; raise PAUSE_MS" >&2; failed=1; }
off=$((answered - complete))
[ "${off#-}" -le "$connections" ] || { echo "paced: $off exchanges are missing" >&2; failed=1; }
round flooded 10 0 --ring 512K --workers 1
off=$((arrived - read - dropped))
[ "${off#-}" -le 4 ] || { echo "flooded: $off packets are unaccounted for" >&2; failed=1; }
exit "$failed"
