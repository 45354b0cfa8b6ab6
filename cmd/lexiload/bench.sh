#!/bin/sh
# The figures of the edge, with NATS and the edge each in a process of its own.
#
#   bench.sh FOLDER   the folder with lexiflow and lexiload; see `make bench`
#
# Each figure runs against a fresh edge, so that memory is measured over an empty process. CONNECTIONS and
# MEMBERS set the size; NATS_PORT and EDGE_PORT must be free. On a machine that does other things meanwhile,
# latency says more about those.
set -eu

bin=${1:?usage: bench.sh FOLDER}
connections=${CONNECTIONS:-10000}
members=${MEMBERS:-5000}
nats_port=${NATS_PORT:-14222}
edge_port=${EDGE_PORT:-13000}

JWT_SECRET=$(head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n')
export JWT_SECRET
data=$(mktemp -d)
nats_pid='' edge_pid='' services='' rate_limit=''

stop_edge() {
  if [ -n "$edge_pid" ]; then
    kill -9 "$edge_pid" 2>/dev/null || true # draining takes seconds, and nothing of it is measured
    wait "$edge_pid" 2>/dev/null || true
    edge_pid=''
  fi
}

clean_up() {
  status=$?
  stop_edge
  for pid in $services; do
    kill "$pid" 2>/dev/null || true
  done
  if [ -n "$nats_pid" ]; then
    kill "$nats_pid" 2>/dev/null || true
    wait "$nats_pid" 2>/dev/null || true
  fi
  if [ "$status" -ne 0 ]; then
    cat "$data"/*.log >&2 || true
  fi
  rm -rf "$data"
  exit "$status"
}
trap clean_up EXIT
trap 'exit 1' INT TERM

# figure TITLE FLAG… runs lexiload against a new edge.
figure() {
  title=$1
  shift
  stop_edge
  "$bin/lexiflow" edge --listen "127.0.0.1:$edge_port" --ops-listen 127.0.0.1:0 --nats "nats://127.0.0.1:$nats_port" \
    --max-connections "$((connections + members))" $rate_limit >"$data/edge.log" 2>&1 &
  edge_pid=$!
  # The first connection of lexiload must find a ready edge, and warms it up.
  tries=0
  until "$bin/lexiload" --url "http://127.0.0.1:$edge_port" --nats "nats://127.0.0.1:$nats_port" \
    --connections 1 --settle 0s >/dev/null 2>&1; do
    tries=$((tries + 1))
    kill -0 "$edge_pid"
    [ "$tries" -lt 50 ] || { echo "bench: the edge does not start" >&2; exit 1; }
    sleep 0.2
  done
  echo "== $title"
  "$bin/lexiload" --url "http://127.0.0.1:$edge_port" --nats "nats://127.0.0.1:$nats_port" \
    --server-pid "$edge_pid" --nats-pid "$nats_pid" "$@"
  echo
}

"$bin/lexiflow" nats --nats-listen "127.0.0.1:$nats_port" --data-dir "$data/nats" >"$data/nats.log" 2>&1 &
nats_pid=$!
sleep 1
kill -0 "$nats_pid" # else the port is somebody else's, and so would be the figures

figure "$connections idle connections, one case each 10 (at most 6 KiB each)" \
  --connections "$connections" --rooms "$((connections / 10))" --settle 15s
figure "fan-out to $members members of one case in bursts (at most 4 µs CPU each, nothing lost)" \
  --connections "$members" --burst --inflight 16 --events 400 --duration 60s --size 200
figure "latency at 5,000 deliveries/s: 50 cases of 10 (p50 below 1 ms, p99 below 5 ms)" \
  --connections 500 --rooms 50 --rate 500 --duration 10s --size 200

# Commands need the services, each in a process of its own.
stop_edge
services=''
for service in presence notifyd msgd dashboardd; do
  "$bin/lexiflow" "$service" --nats "nats://127.0.0.1:$nats_port" >"$data/$service.log" 2>&1 &
  services="$services $!"
done
rate_limit='--rate-limit 100000'
figure "1,000 commands/s through edge and notifyd (p99 below 10 ms)" \
  --connections 200 --namespace /notifications --rooms 0 --command notification:list --argument '{"limit":1}' --rate 1000 --duration 10s
figure "1,000 commands/s through edge and presence, each changing state (p99 below 10 ms)" \
  --connections 200 --rooms 0 --command presence:set-activity --argument '{"activity":"reading"}' --rate 1000 --duration 10s
