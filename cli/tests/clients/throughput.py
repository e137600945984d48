"""How fast `gatefold serve` answers 32 clients, beside `gatefold batch` on the same requests. By hand:

    python3 cli/tests/clients/throughput.py ROUNDS MODEL.gguf gatefold
    python3 cli/tests/clients/throughput.py ROUNDS MODEL.gguf gatefold llama-server

64 requests, each of 100 ids of its own and for 64 tokens. Rounds alternate, so that what else the machine does
falls on all; medians are printed, and the time to the first token and between tokens of all rounds. Those
who ask read streams and look at them afterwards, since they share the machine with what they measure.
"""

import asyncio
import http.client
import json
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROUNDS, MODEL, GATEFOLD, *LLAMA_SERVER = sys.argv[1:]
N_REQUESTS, N_CLIENTS, N_PROMPT, N_ANSWER = 64, 32, 100, 64


def bodies():
    """Prompts with no prefix in common, of ids that every vocabulary has."""
    drawn = random.Random(1)
    return [
        {
            "prompt": [drawn.randrange(300, 2000) for _ in range(N_PROMPT)],
            "max_tokens": N_ANSWER,
            "temperature": 0,
            "seed": 1,
        }
        for _ in range(N_REQUESTS)
    ]


def write_rows(path, bodies):
    row = {"method": "POST", "url": "/v1/completions"}
    rows = [row | {"custom_id": str(idx), "body": body} for idx, body in enumerate(bodies)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def batch(folder, rows):
    """Seconds of a batch, and its answers' tokens."""
    answers = folder / "answers.jsonl"
    answers.unlink(missing_ok=True)
    start = time.perf_counter()
    args = [GATEFOLD, "batch", "-m", MODEL, str(rows), "-o", str(answers)]
    subprocess.run(args, check=True, stderr=subprocess.DEVNULL)
    seconds = time.perf_counter() - start
    told = [json.loads(line)["response"]["body"] for line in answers.read_text().splitlines()]
    return seconds, sum(answer["usage"]["completion_tokens"] for answer in told)


class Server:
    """A server while it runs."""

    def __init__(self, args):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        args = [*args, "--port", str(self.port)]
        self.process = subprocess.Popen(args, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while not self.is_ready():
            assert self.process.poll() is None, args
            time.sleep(0.2)

    def is_ready(self):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except OSError:
            return False

    def stop(self):
        self.process.terminate()
        self.process.wait()


async def answer(port, body):
    """The arrivals of an answer's pieces in seconds from the request, and its tokens."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    sent = json.dumps(body | {"stream": True, "stream_options": {"include_usage": True}}).encode()
    head = f"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
    start = time.perf_counter()
    writer.write(f"{head}Content-Length: {len(sent)}\r\nConnection: close\r\n\r\n".encode() + sent)
    lines = []
    async for line in reader:
        if line.startswith(b"data: {"):
            lines.append((time.perf_counter() - start, line))
    writer.close()
    chunks = [(at, json.loads(line[6:])) for at, line in lines]
    (n_tokens,) = {chunk["usage"]["completion_tokens"] for _, chunk in chunks if chunk.get("usage")}
    texts = [at for at, chunk in chunks if chunk.get("choices") and chunk["choices"][0]["text"]]
    return texts, n_tokens


async def serve(port, bodies):
    """Seconds, the arrivals of each answer, and the answers' tokens."""
    waiting, answers = iter(bodies), []

    async def client():
        for body in waiting:
            answers.append(await answer(port, body))

    start = time.perf_counter()
    await asyncio.gather(*[client() for _ in range(N_CLIENTS)])
    seconds = time.perf_counter() - start
    return seconds, [arrivals for arrivals, _ in answers], sum(n_tokens for _, n_tokens in answers)


def told(values):
    """Median and 95th percentile in milliseconds."""
    return f"{1000 * statistics.median(values):.0f} ms, p95 {1000 * statistics.quantiles(values, n=20)[-1]:.0f} ms"


def main():
    commands = {"gatefold serve": [GATEFOLD, "serve", "-m", MODEL]}
    if LLAMA_SERVER:
        context = str(N_CLIENTS * 256)
        options = ["--parallel", str(N_CLIENTS), "-c", context, "-ctk", "q8_0", "-ctv", "q8_0", "-fa", "on"]
        commands["llama-server"] = [*LLAMA_SERVER, "-m", MODEL, *options, "--no-webui"]
    asked = bodies()
    rates = {name: [] for name in ["gatefold batch", *commands]}
    firsts, between = {name: [] for name in commands}, {name: [] for name in commands}
    with tempfile.TemporaryDirectory() as folder:
        rows, one_row = Path(folder, "rows.jsonl"), Path(folder, "row.jsonl")
        write_rows(rows, asked)
        write_rows(one_row, [asked[0] | {"max_tokens": 1}])
        for _ in range(int(ROUNDS)):
            # What it takes to start is not a server's to beat.
            starting, _ = batch(Path(folder), one_row)
            seconds, n_tokens = batch(Path(folder), rows)
            rates["gatefold batch"].append(n_tokens / (seconds - starting))
            for name, command in commands.items():
                server = Server(command)
                asyncio.run(answer(server.port, asked[0] | {"max_tokens": 1, "prompt": [301]}))
                seconds, arrivals, n_tokens = asyncio.run(serve(server.port, asked))
                server.stop()
                rates[name].append(n_tokens / seconds)
                firsts[name] += [times[0] for times in arrivals if times]
                between[name] += [b - a for times in arrivals for a, b in zip(times, times[1:])]
    for name, values in rates.items():
        rounds = ", ".join(f"{value:.1f}" for value in values)
        print(f"{name}: {statistics.median(values):.1f} tokens of answers a second ({rounds})")
    ratios = [ours / theirs for ours, theirs in zip(rates["gatefold serve"], rates["gatefold batch"])]
    print(f"serve / batch: {statistics.median(ratios):.3f} ({', '.join(f'{ratio:.3f}' for ratio in ratios)})")
    for name in commands:
        print(f"{name}: first token after {told(firsts[name])}; between tokens {told(between[name])}")


main()
