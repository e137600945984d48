"""`gatefold quantize` beside llama-quantize, on the same file, taking turns: time, memory and error.

    cargo build --release
    python3 benches/quantize_peer.py f16.gguf --peer llama.cpp/build/bin/llama-quantize

Prints a Markdown table with the medians. The error is the mean square of what quantizing changed in
the first rows of every tensor that both programs gave the same format, ours over theirs; it needs
the Python packages numpy and gguf.
"""

import argparse
import os
import pathlib
import statistics
import subprocess
import tempfile
import time

import gguf
import numpy as np

ROWS = 256


def timed(command):
    """Seconds, and MB of memory at most."""
    start = time.monotonic()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    if status != 0:
        raise SystemExit(f"failed: {' '.join(command)}")
    return time.monotonic() - start, usage.ru_maxrss / 1024


def rows(tensor):
    data = tensor.data.reshape(-1, tensor.data.shape[-1])[:ROWS]
    return gguf.quants.dequantize(data, tensor.tensor_type).astype(np.float64)


def error_ratio(original, ours, theirs):
    original, ours, theirs = (
        {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}
        for path in (original, ours, theirs)
    )
    errors = np.zeros(2)
    for name, tensor in ours.items():
        kind = tensor.tensor_type
        if kind == theirs[name].tensor_type and kind != original[name].tensor_type:
            exact = rows(original[name])
            errors += [((rows(x) - exact) ** 2).sum() for x in (tensor, theirs[name])]
    return errors[0] / errors[1] if errors[1] else float("nan")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="GGUF in F16")
    parser.add_argument("--peer", required=True, help="path of llama-quantize")
    parser.add_argument("--types", nargs="+", default=["Q8_0", "Q4_0", "Q4_K_M", "Q2_K"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", default="2")
    parser.add_argument("--gatefold", default="target/release/gatefold")
    args = parser.parse_args()
    print("| type | gatefold, s | llama-quantize, s | ratio | memory, MB | error |")
    print("| --- | --- | --- | --- | --- | --- |")
    for kind in args.types:
        with tempfile.TemporaryDirectory(dir=pathlib.Path(args.model).parent) as folder:
            ours, theirs = f"{folder}/ours.gguf", f"{folder}/theirs.gguf"
            commands = {
                "ours": [args.gatefold, "quantize", args.model, ours, "--type", kind, "--overwrite"]
                + ["-t", args.threads],
                "theirs": [args.peer, args.model, theirs, kind, args.threads],
            }
            runs = {name: [] for name in commands}
            for _ in range(args.rounds):
                for name, command in commands.items():
                    with open(args.model, "rb") as file:
                        while file.read(1 << 24):
                            pass  # Into the page cache: disks are not what is compared.
                    runs[name].append(timed(command))
                    os.sync()
            seconds = {name: statistics.median(s for s, _ in runs[name]) for name in runs}
            memory = {name: max(mb for _, mb in runs[name]) for name in runs}
            ratio = error_ratio(args.model, ours, theirs)
        print(
            f"| {kind} | {seconds['ours']:.1f} | {seconds['theirs']:.1f} "
            f"| {seconds['theirs'] / seconds['ours']:.2f} "
            f"| {memory['ours']:.0f} / {memory['theirs']:.0f} | {ratio:.3f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
