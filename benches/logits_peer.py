"""Every type of `gatefold quantize` in llama.cpp: does it load, and are its logits ours?

    cargo build --release
    pip install llama-cpp-python numpy
    python3 benches/logits_peer.py MODEL --ids 1,315,837,264

MODEL is a checkpoint or a GGUF. Prints a Markdown table. Both programs quantize their activations,
each in its own way, so logits differ by about the noise of 8-bit numbers: differences are given in
standard deviations of the logits, and as KL divergence.
"""

import argparse
import pathlib
import subprocess
import tempfile

import llama_cpp
import numpy as np

TYPES = """F32 F16 BF16 Q8_0 Q6_K Q5_K_M Q5_K_S Q5_1 Q5_0 Q4_K_M Q4_K_S Q4_1 Q4_0 IQ4_NL IQ4_XS
           Q3_K_L Q3_K_M Q3_K_S Q2_K""".split()


def peer_logits(path, ids):
    llama = llama_cpp.Llama(
        str(path), n_ctx=max(64, len(ids)), n_batch=len(ids), logits_all=True, verbose=False
    )
    llama.eval(ids)
    return np.array(llama.scores[: len(ids)], dtype=np.float64)


def log_softmax(logits):
    logits = logits - logits.max(axis=1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("--ids", required=True, help="token ids, 1,2,3")
    parser.add_argument("--types", nargs="+", default=TYPES)
    parser.add_argument("--gatefold", default="target/release/gatefold")
    args = parser.parse_args()
    ids = [int(token) for token in args.ids.split(",")]
    print("| type | difference, RMS | worst | mean KL | median KL | same top token |")
    print("| --- | --- | --- | --- | --- | --- |")
    for kind in args.types:
        with tempfile.TemporaryDirectory() as folder:
            path, dump = pathlib.Path(folder, "model.gguf"), pathlib.Path(folder, "logits.npy")
            run = lambda *command: subprocess.run(
                [args.gatefold, *map(str, command)], check=True, stdout=subprocess.DEVNULL
            )
            run("quantize", args.model, path, "--type", kind)
            run("eval", "-m", path, "--ids", args.ids, "--logits", dump)
            ours, theirs = np.load(dump).astype(np.float64), peer_logits(path, ids)
        difference = (ours - theirs) / theirs.std(axis=1, keepdims=True)
        ours, theirs = log_softmax(ours), log_softmax(theirs)
        divergence = (np.exp(theirs) * (theirs - ours)).sum(axis=1)
        same = (ours.argmax(axis=1) == theirs.argmax(axis=1)).mean()
        print(
            f"| {kind} | {np.sqrt((difference**2).mean()):.4f} | {abs(difference).max():.4f} "
            f"| {divergence.mean():.6f} | {np.median(divergence):.6f} | {same:.1%} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
