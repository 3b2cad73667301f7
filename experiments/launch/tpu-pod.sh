#!/usr/bin/env bash
# One process on each host of a TPU pod slice; JAX finds the others by the slice's own metadata.
#   bash tpu-pod.sh NAME ZONE DIR --data tfds:NAME --batch-size 1024
# The environment .venv and DIR, on NFS or Filestore, must be mounted on every host.
set -euo pipefail
name=$1 zone=$2 out=$3
shift 3
printf -v options ' %q' --out "$out" "$@"

status=0
gcloud compute tpus tpu-vm ssh "$name" --zone "$zone" --worker all \
  --command ".venv/bin/simsmooth run --distributed$options" || status=$?
case $status in
  134) echo "134: aborted by JAX, as process 0 is gone; the same line goes on" ;;
  137) echo "137: killed; the same line goes on from the last checkpoint" ;;
  129 | 130 | 143) echo "$status: stopped by a signal; the same line goes on" ;;
esac >&2
exit "$status"
