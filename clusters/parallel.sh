#!/bin/bash
# A batch on machines that ssh reaches, by GNU parallel; they share no disk. On each, gatefold is on the
# path and the model lies at MODEL.
#
#   MODEL=/models/model.gguf HOSTS=anna,berta ./parallel.sh requests.jsonl answers.jsonl
#
# A shard whose machine has gone is tried on another, which begins it anew: the part is fetched when it is
# done. Parts that are here already are not done again. This machine takes part by its name, if ssh reaches
# it, and not as `:`, to which GNU parallel sends no files. Needs rsync.
set -euo pipefail

input=$1 output=$2
hosts=${HOSTS:?names of machines, between commas} n_shards=${SHARDS:-4} model=${MODEL:-model.gguf} gatefold=${GATEFOLD:-gatefold}

missing=()
for ((idx = 0; idx < n_shards; idx++)); do
    [[ -e part-$idx.jsonl ]] || missing+=("$idx")
done

# One shard at a time on a machine, which has all of its cores. Without `< /dev/null` the run would wait
# for text from ssh.
if ((${#missing[@]} > 0)); then
    parallel --sshlogin "$hosts" --jobs 1 --retries 3 --halt soon,fail=1 \
        --workdir ... --transferfile "$input" --return 'part-{}.jsonl' --cleanup \
        "$gatefold" batch --model "$model" "$input" --output 'part-{}.jsonl' \
        --shard "{}/$n_shards" --ok-exit '< /dev/null' ::: "${missing[@]}"
fi
"$gatefold" merge "$output" $(seq --format 'part-%.0f.jsonl' 0 $((n_shards - 1)))
