#!/usr/bin/env bash
# One process on each GPU of one machine.
#   bash gpu-host.sh 4 DIR --data tfds:NAME --batch-size 1024
# One process on all of them needs no script: simsmooth run --out DIR …
set -euo pipefail
gpus=$1 out=$2
shift 2
stop() { kill $(jobs -p) 2> /dev/null || true; }
trap stop EXIT INT TERM HUP

for ((gpu = 0; gpu < gpus; gpu++)); do
  CUDA_VISIBLE_DEVICES=$gpu simsmooth run --out "$out" "$@" \
    --coordinator "127.0.0.1:${PORT:-8476}" --num-processes "$gpus" --process-id "$gpu" &
done
status=0
for job in $(jobs -p); do
  wait "$job" || status=$?
  while kill -0 "$job" 2> /dev/null; do # a signal ended the wait alone
    wait "$job" || status=$?
  done
done
case $status in
  134) echo "134: aborted by JAX, as process 0 is gone; the same line goes on" ;;
  137) echo "137: killed; the same line goes on from the last checkpoint" ;;
  129 | 130 | 143) echo "$status: stopped by a signal; the same line goes on" ;;
esac >&2
exit "$status"
