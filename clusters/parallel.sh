#!/bin/bash
# A batch on machines that ssh reaches, by GNU parallel; they share no disk. On each, gatefold is on the
# path and the model lies at MODEL.
#
#   MODEL=/models/model.gguf HOSTS=anna,berta ./parallel.sh requests.jsonl answers.jsonl
#
# Parts that are here are sent along, so that each shard goes on where it was, and is soon over where it was
# done; they are fetched when their run ends. A shard whose machine has gone is tried on another, which
# goes on with the part that is here. This machine takes part by its name, if ssh reaches
# it, and not as `:`, to which GNU parallel sends no files. Needs rsync.
set -euo pipefail

input=$1 output=$2
hosts=${HOSTS:?names of machines, between commas} n_shards=${SHARDS:-4} model=${MODEL:-model.gguf} gatefold=${GATEFOLD:-gatefold}

parts=()
for ((idx = 0; idx < n_shards; idx++)); do
    parts+=("part-$idx.jsonl")
done
touch "${parts[@]}"

# One shard at a time on a machine, which has all of its cores. Without `< /dev/null` the run would wait
# for text from ssh.
parallel --sshlogin "$hosts" --jobs 1 --retries 3 --halt soon,fail=1 --workdir ... \
    --transferfile "$input" --transferfile 'part-{}.jsonl' --return 'part-{}.jsonl' --cleanup \
    "$gatefold" batch --model "$model" "$input" --output 'part-{}.jsonl' \
    --shard "{}/$n_shards" --ok-exit '< /dev/null' ::: $(seq 0 $((n_shards - 1)))
"$gatefold" merge "$output" "${parts[@]}"
