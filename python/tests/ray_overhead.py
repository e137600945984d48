"""What Ray Data costs over `gatefold batch` on the same rows, in time and memory. By hand:

    python tests/ray_overhead.py MODEL [N_ROWS] [TOKENS] [THREADS]

It prints a line for each way: seconds from the first to the last answer, those in all (Ray's own start and
that of its actors included, `ray.init` not), processor seconds and the largest memory of the engine, and
that of the actors (their share of what is shared counted once). Answers must be the same.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_AUTH_MODE", "disabled")
import ray
import ray.data

import gatefold
import gatefold.ray
from gatefold._program import find_program

MODEL = sys.argv[1]
N_ROWS, TOKENS, THREADS = (int(it) for it in [*sys.argv[2:], "200", "64", "2"][:3])
ROWS = [
    {"id": f"row-{n}", "prompt": f"The weather in town {n} is", "seed": n} for n in range(N_ROWS)
]
PARAMS = {"max_tokens": TOKENS, "temperature": 0}


class Noted(gatefold.ray.Completions):
    """Notes when it begins and ends, what its server has used, and its own memory."""

    def __init__(self, notes: str, **settings: Any) -> None:
        super().__init__(**settings)
        self._note = Path(notes, str(os.getpid()))
        self._began = time.time()

    def __call__(self, batch: Any) -> Any:
        begin = time.time()
        table = super().__call__(batch)
        told = [self._server.pid, *used(self._server.pid), memory(os.getpid()), begin, time.time()]
        with self._note.open("a") as note:
            note.write(json.dumps(told) + "\n")
        return table


def used(pid: int) -> tuple[float, float]:
    """Processor seconds and the most memory, in MB."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    peak = [it for it in Path(f"/proc/{pid}/status").read_text().splitlines() if "VmHWM" in it]
    ticks = int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK"), int(peak[0].split()[1]) / 1024


def memory(pid: int) -> float:
    """What a process adds to the machine's memory, in MB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(it.split()[1]) for it in lines if it.startswith("Pss:")) / 1024


def by_batch() -> str:
    lines = "".join(
        json.dumps(
            {
                "custom_id": row["id"],
                "method": "POST",
                "url": "/v1/completions",
                "body": {"prompt": row["prompt"], "seed": row["seed"], **PARAMS},
            }
        )
        + "\n"
        for row in ROWS
    )
    begin = time.time()
    command = [find_program(), "batch", "-", "-m", MODEL, "-t", str(THREADS)]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL)
    assert process.stdin and process.stdout
    process.stdin.write(lines.encode())
    process.stdin.close()
    peak = [0.0, 0.0]

    def watch() -> None:
        while process.poll() is None:
            try:
                peak[:] = used(process.pid)
            except (OSError, IndexError):
                return
            time.sleep(0.05)

    watcher = threading.Thread(target=watch)
    watcher.start()
    answers = [json.loads(line) for line in process.stdout]
    process.wait()
    watcher.join()
    seconds = time.time() - begin
    told = [
        (it["custom_id"], it["response"]["body"]["choices"][0]["text"]) for it in answers
    ]
    show("batch", seconds, seconds, peak, 0.0)
    return digest(told)


def by_ray(n_actors: int) -> str:
    with tempfile.TemporaryDirectory() as notes:
        begin = time.time()
        asked = [{"id": row["id"], "prompt": row["prompt"]} for row in ROWS]
        rows = ray.data.from_items(asked, override_num_blocks=16)
        settings = {"model": MODEL, "threads": THREADS, "key": "id", "notes": notes, **PARAMS}
        done = rows.map_batches(
            Noted,
            fn_constructor_kwargs=settings,
            compute=ray.data.ActorPoolStrategy(size=n_actors),
            batch_size=None,
            batch_format="pyarrow",
        ).take_all()
        seconds = time.time() - begin
        each = [
            [json.loads(line) for line in note.read_text().splitlines()]
            for note in Path(notes).iterdir()
        ]
    told = [line for lines in each for line in lines]
    work = max(line[-1] for line in told) - min(line[-2] for line in told)
    peak = [max(line[1] for line in told), max(line[2] for line in told)]
    actors = sum(max(line[3] for line in lines) for lines in each)
    assert len({line[0] for line in told}) == 1
    show(f"ray, {n_actors} actors", work, seconds, peak, actors)
    return digest((row["id"], row["answer"]) for row in done)


def digest(told: Any) -> str:
    return hashlib.sha256(json.dumps(sorted(map(list, told))).encode()).hexdigest()[:16]


def show(name: str, work: float, seconds: float, peak: Any, actors: float) -> None:
    print(
        f"{name:14} {work:7.2f} s {seconds:7.2f} s in all, engine {peak[0]:7.2f} CPU s "
        f"{peak[1]:7.1f} MB, actors {actors:6.1f} MB",
        flush=True,
    )


def main() -> None:
    ray.init(num_cpus=5, include_dashboard=False, log_to_driver=False, logging_level=40)
    ray.data.DataContext.get_current().enable_progress_bars = False
    hashes = set()
    for _ in range(2):
        hashes |= {by_batch(), *map(by_ray, (1, 2, 4))}
    print("answers:", *hashes)
    assert len(hashes) == 1


main()
