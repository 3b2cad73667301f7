#!/usr/bin/env bash
# One process on each GPU of one machine.
#   bash gpu-host.sh 4 DIR --data tfds:NAME --batch-size 1024
# One process on all of them needs no script: simsmooth run --out DIR …
set -euo pipefail
gpus=$1 out=$2
shift 2
trap 'kill $(jobs -p) 2> /dev/null || true' EXIT

for ((gpu = 0; gpu < gpus; gpu++)); do
  CUDA_VISIBLE_DEVICES=$gpu simsmooth run --out "$out" "$@" \
    --coordinator "127.0.0.1:${PORT:-8476}" --num-processes "$gpus" --process-id "$gpu" &
done
status=0
for job in $(jobs -p); do
  wait "$job" || status=$?
done
exit "$status"
