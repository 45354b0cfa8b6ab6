#!/bin/sh
# What a command costs, from a client through the edge to a service and back, each in a process of its own.
# What the edge itself costs, beside its peers, is measured by compare; see `make bench`.
#
#   bench.sh FOLDER   the folder with lexiflow and lexiload
#
# NATS_PORT and EDGE_PORT must be free. On a machine that does other things meanwhile, latency says more
# about those.
set -eu

bin=${1:?usage: bench.sh FOLDER}
nats_port=${NATS_PORT:-14222}
edge_port=${EDGE_PORT:-13000}

JWT_SECRET=$(head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n')
export JWT_SECRET
data=$(mktemp -d)
nats_pid='' edge_pid='' services=''

clean_up() {
  status=$?
  if [ -n "$edge_pid" ]; then
    kill -9 "$edge_pid" 2>/dev/null || true # draining takes seconds, and nothing of it is measured
    wait "$edge_pid" 2>/dev/null || true
  fi
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

load() {
  "$bin/lexiload" --url "http://127.0.0.1:$edge_port" --nats "nats://127.0.0.1:$nats_port" "$@"
}

"$bin/lexiflow" nats --nats-listen "127.0.0.1:$nats_port" --data-dir "$data/nats" >"$data/nats.log" 2>&1 &
nats_pid=$!
sleep 1
kill -0 "$nats_pid" # else the port is somebody else's, and so would be the figures
for service in presence notifyd msgd dashboardd; do
  "$bin/lexiflow" "$service" --nats "nats://127.0.0.1:$nats_port" >"$data/$service.log" 2>&1 &
  services="$services $!"
done
"$bin/lexiflow" edge --listen "127.0.0.1:$edge_port" --nats "nats://127.0.0.1:$nats_port" --rate-limit 100000 >"$data/edge.log" 2>&1 &
edge_pid=$!
# The first connection of lexiload must find a ready edge, and warms it up.
tries=0
until load --connections 1 --settle 0s >/dev/null 2>&1; do
  tries=$((tries + 1))
  kill -0 "$edge_pid"
  [ "$tries" -lt 50 ] || { echo "bench: the edge does not start" >&2; exit 1; }
  sleep 0.2
done

echo "== 1,000 commands/s through edge and notifyd (p99 below 10 ms)"
load --server-pid "$edge_pid" --nats-pid "$nats_pid" --connections 200 --namespace /notifications --rooms 0 \
  --command notification:list --argument '{"limit":1}' --rate 1000 --duration 10s
echo
echo "== 1,000 commands/s through edge and presence, each changing state (p99 below 10 ms)"
load --server-pid "$edge_pid" --nats-pid "$nats_pid" --connections 200 --rooms 0 \
  --command presence:set-activity --argument '{"activity":"reading"}' --rate 1000 --duration 10s
