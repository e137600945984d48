"""Draws the course of a training run.

    python plot.py log.jsonl curve.svg
"""

import json
import sys

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "gatefold"
from matplotlib import pyplot  # noqa: E402 (the backend is chosen first)

LINES = {"answer": "answers", "text": "documents and questions"}


def main(log: str, picture: str) -> None:
    with open(log) as file:
        points = [json.loads(line) for line in file]
    steps = [point["step"] for point in points]
    figure, axes = pyplot.subplots(figsize=(7, 3.2), layout="constrained")
    for name, label in LINES.items():
        axes.plot(steps, [point[name] for point in points], label=label)
    axes.set(xlabel="step", ylabel="nats per token", ylim=(0, 2))
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(picture, metadata={"Date": None})


if __name__ == "__main__":
    main(*sys.argv[1:])
