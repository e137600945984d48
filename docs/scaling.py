"""Simulates a million documents on up to a thousand nodes, and draws `scaling.svg`:

    python3 docs/scaling.py          takes a minute, and prints the tables of scaling.md

Rates and overheads are measured on one machine, and stand below with where they come from. What was not
measured, and is assumed, says so.
"""

import heapq
import math
import random
from pathlib import Path

N_DOCUMENTS = 1_000_000
NODES = [1, 3, 10, 30, 100, 200, 400, 700, 1000]

# A node's steps, in seconds, by the sequences in it: benches/README.md, Mixtral's shape with 8 of its 32
# layers, Q4_0, two cores, large pages: 12.6, 27.1 and 63.7 tokens a second. Four times as many layers take
# four times as long.
STEPS = [(1, 4 / 12.6), (8, 4 * 8 / 27.1), (32, 4 * 32 / 63.7)]
# A token of a prompt: 144.7 a second likewise.
READ = 4 / 144.7
PARALLEL = 32

# Tokens of documents and answers are log-normal: medians, spreads, limits. Assumed.
DOCUMENT = (1000, 0.8, 8000)
ANSWER = (120, 0.6, 256)

# From the start of the process to the first token where the file is in memory; 6.7 GB, as above.
START = 0.36
MODEL_BYTES = 26.3e9
# Of a disk that all nodes share, and of a node's own link, bytes a second. Assumed.
SHARED = 2.5e9
LINK = 1.25e9
# A row of `gatefold merge`: 100,000 rows of 600 bytes in 4 shards took 2.0 and 2.3 s, on a busy machine.
MERGE = 2.2e-5
# Documents that Ray hands out at a time.
BLOCK = 32


def lengths(seed):
    """Documents with their tokens and their answers'."""
    draw = random.Random(seed)

    def one(median, spread, most):
        return max(1, min(most, round(median * math.exp(draw.gauss(0, spread)))))

    return [(one(*DOCUMENT), one(*ANSWER)) for _ in range(N_DOCUMENTS)]


def step(n):
    """Seconds of a step with so many sequences."""
    for (n0, s0), (n1, s1) in zip(STEPS, STEPS[1:]):
        if n <= n1:
            return s0 + (s1 - s0) * (n - n0) / (n1 - n0)
    raise ValueError(n)


STEP = [0.0] + [step(n) for n in range(1, PARALLEL + 1)]


def node(documents, n_slots=PARALLEL):
    """Seconds that a node takes: continuous batching, where steps have a token of each sequence, and
    prompts are read between them."""
    seconds, steps, live = 0.0, 0, []
    documents = iter(documents)
    while True:
        while len(live) < n_slots and (document := next(documents, None)):
            seconds += document[0] * READ
            heapq.heappush(live, steps + document[1])
        if not live:
            return seconds
        until = live[0]
        seconds += (until - steps) * STEP[len(live)]
        steps = until
        while live and live[0] == steps:
            heapq.heappop(live)


def full(documents):
    """Seconds of work for documents in the midst of others."""
    n_read = sum(document[0] for document in documents)
    n_written = sum(document[1] for document in documents)
    return n_read * READ + n_written * STEP[PARALLEL] / PARALLEL


def by_shards(documents, n, seed):
    """Seconds until the last of n nodes is done with its shard, which names are dealt to by hash."""
    draw = random.Random(seed)
    shards = [[] for _ in range(n)]
    for document in documents:
        shards[draw.randrange(n)].append(document)
    return max(map(node, shards))


def by_blocks(documents, n):
    """Likewise where a node that has little left takes the next block: two are at work on it, so that
    one fills the end of the other."""
    blocks = [documents[at : at + BLOCK] for at in range(0, len(documents), BLOCK)]
    nodes = [(0.0, idx) for idx in range(n)]
    last = [[] for _ in range(n)]
    for block in blocks:
        at, idx = heapq.heappop(nodes)
        # All but the last block run in company.
        heapq.heappush(nodes, (at + full(block), idx))
        last[idx] = block
    return max(at - full(last[idx]) + node(last[idx]) for at, idx in nodes)


def fetch(n):
    """Seconds until all have the model from one disk."""
    return MODEL_BYTES / min(LINK, SHARED / n)


WAYS = {
    "blocks": "blocks, model on each node",
    "shards": "shards, model on each node",
    "fetched": "shards, model from one shared disk",
}


def simulate(speed):
    """For each number of nodes, the seconds of each part; nodes are `speed` times the one measured."""
    documents = lengths(1)
    work = full(documents) / speed
    rows = []
    for n in NODES:
        shards = by_shards(documents, n, 2) / speed
        blocks = by_blocks(documents, n) / speed
        row = {"n": n, "ideal": work / n, "fetch": fetch(n), "merge": MERGE * N_DOCUMENTS}
        row["blocks"] = blocks + START + row["merge"]
        row["shards"] = shards + START + row["merge"]
        row["fetched"] = row["shards"] + row["fetch"]
        rows.append(row)
    return rows


def told(seconds):
    for unit, size in [("d", 86400), ("h", 3600), ("min", 60)]:
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def table(rows):
    print("| nodes | work alone | blocks | shards | shards, shared disk | of that fetching |")
    print("| --- | --- | --- | --- | --- | --- |")
    for row in rows:
        ways = [f"{told(row[way])} ({row['ideal'] / row[way]:.0%})" for way in WAYS]
        print("| " + " | ".join([str(row["n"]), told(row["ideal"]), *ways, told(row["fetch"])]) + " |")
    print()


# Readable on light and on dark: text and lines take the reader's colour.
STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #1f2328 }
  .small { font-size: 11px } .title { font-weight: 600 }
  .grid { stroke: #d0d7de } .axis { stroke: #656d76 }
  .line { fill: none; stroke-width: 2.5 }
  .blocks { stroke: #1a7f37 } .shards { stroke: #0969da; stroke-dasharray: 7 3 }
  .fetched { stroke: #bc4c00; stroke-dasharray: 2 3 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .grid { stroke: #3d444d } .axis { stroke: #9198a1 }
    .blocks { stroke: #3fb950 } .shards { stroke: #4493f8 } .fetched { stroke: #f0883e }
  }
"""


def picture(panels):
    width, height, left, top = 330, 230, 50, 40
    parts = []
    for idx, (title, rows) in enumerate(panels):
        x0 = left + idx * (width + 50)

        def x(n, x0=x0):
            return x0 + width * math.log10(n) / 3

        def y(share):
            return top + height * (1 - share)

        parts.append(f'<text class="title" x="{x0}" y="22">{title}</text>')
        for n in (1, 10, 100, 1000):
            parts.append(f'<line class="grid" x1="{x(n)}" x2="{x(n)}" y1="{top}" y2="{y(0)}"/>')
            parts.append(f'<text class="small" text-anchor="middle" x="{x(n)}" y="{y(0) + 18}">{n:,}</text>')
        for percent in range(0, 101, 25):
            at = y(percent / 100)
            kind = "axis" if percent == 0 else "grid"
            parts.append(f'<line class="{kind}" x1="{x0}" x2="{x0 + width}" y1="{at}" y2="{at}"/>')
            parts.append(f'<text class="small" text-anchor="end" x="{x0 - 6}" y="{at + 4}">{percent}%</text>')
        for way in WAYS:
            points = " ".join(f"{x(row['n']):.1f},{y(row['ideal'] / row[way]):.1f}" for row in rows)
            parts.append(f'<polyline class="line {way}" points="{points}"/>')
        parts.append(f'<text class="small" text-anchor="middle" x="{x0 + width / 2}" y="{y(0) + 36}">nodes</text>')
    under = top + height + 62
    for idx, (way, label) in enumerate(WAYS.items()):
        at = left + idx * 245
        parts.append(f'<line class="line {way}" x1="{at}" x2="{at + 34}" y1="{under - 4}" y2="{under - 4}"/>')
        parts.append(f'<text x="{at + 42}" y="{under}">{label}</text>')
    size = f'width="{left + 2 * (width + 50)}" height="{under + 14}"'
    body = "\n".join(parts)
    name = "Share of each node's time that is work, by nodes"
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{name}">\n<style>{STYLE}</style>\n{body}\n</svg>\n'


def main():
    panels = []
    for title, speed in [("The node that was measured (two cores)", 1), ("One ten times as fast (assumed)", 10)]:
        rows = simulate(speed)
        print(f"{title}: {told(rows[0]['ideal'])} of work\n")
        table(rows)
        panels.append((title, rows))
    Path(__file__).with_suffix(".svg").write_text(picture(panels))


if __name__ == "__main__":
    main()
