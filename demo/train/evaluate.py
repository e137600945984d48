"""Measures the demo model with the real program: facts right in summaries of held-out documents.

    python evaluate.py [--model FILE] [--n 500]       the model in the program, or another
    python evaluate.py --run FOLDER [--types F32,..]  a training run: facts, perplexity per format,
                                                      and the share of tokens per expert

A fact is right if the summary has it letter by letter, as a word of its own; a whole summary, if it
is one of those that would do for its document: then every fact is in its place. Prints Markdown.
"""

import argparse
import json
import re
import subprocess
import tempfile
from collections import Counter
from pathlib import Path
from random import Random

import torch

import conversation
import export
import pools
import world

ROOT = Path(__file__).resolve().parents[2]
TYPES = "F32,F16,Q8_0,Q6_K,Q5_K_M,Q4_K_M,Q4_0,Q3_K_M,Q2_K"
KNOWN = {*pools.FIRST_NAMES, *pools.SURNAMES, *pools.PLACES, *pools.TEAMS}
NAMES = {"person", "place", "team"}
ALL, WHOLE = "all but made-up names", "whole summaries"


def document(rng: Random) -> world.Document:
    """A held-out document of 30 to 250 words."""
    while True:
        drawn = world.document(rng, held_out=True)
        if 30 <= len(drawn.text.split()) <= 250:
            return drawn


def documents(n: int) -> list[world.Document]:
    rng = Random("held out")
    return [document(rng) for _ in range(n)]


def is_made_up(fact: world.Fact) -> bool:
    """Whether it is a name with a word that no pool has: it was made up for its document."""
    return fact.kind in NAMES and not KNOWN.issuperset(fact.text.split())


def is_right(fact: world.Fact, summary: str) -> bool:
    text = re.escape(fact.text)
    return re.search(rf"(?<![\w-])(?<!\d:){text}(?![\w-]|:\d)", summary, re.IGNORECASE) is not None


class Program:
    """The gatefold binary with one model."""

    def __init__(self, binary: Path, model: Path | None):
        self.binary, self.model = binary, model

    def run(self, command: str, *arguments) -> str:
        model = ["-m", self.model] if self.model else []
        line = [self.binary, command, *model, *arguments]
        return subprocess.run(line, check=True, stdout=subprocess.PIPE, text=True).stdout

    def summaries(self, texts: list[str]) -> list[str]:
        with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
            for idx, text in enumerate(texts):
                print(json.dumps({"id": idx, "text": text}), file=file, flush=True)
            lines = map(json.loads, self.run("summarize", file.name).splitlines())
            by_id = {int(line["id"]): line["summary"] for line in lines}
        return [by_id[idx] for idx in range(len(texts))]

    def perplexity(self, text: str) -> float:
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
            file.write(text)
            file.flush()
            return json.loads(self.run("eval", "-f", file.name, "-c", "512", "--json"))["perplexity"]


def facts_right(program: Program, sample: list[world.Document]) -> tuple[Counter, Counter]:
    """By kind of fact, with names that were made up apart, and of whole summaries: how many are
    right, and how many there are."""
    right, total = Counter(), Counter()
    summaries = program.summaries([drawn.text for drawn in sample])
    for drawn, summary in zip(sample, summaries):
        total[WHOLE] += 1
        right[WHOLE] += summary in drawn.summaries
        for fact in drawn.facts:
            kinds = [f"{fact.kind}, made up"] if is_made_up(fact) else [ALL, fact.kind]
            for kind in kinds:
                total[kind] += 1
                right[kind] += is_right(fact, summary)
    return right, total


def facts_table(columns: dict[str, tuple[Counter, Counter]]) -> None:
    totals = next(iter(columns.values()))[1]
    print("| facts | n |", " | ".join(columns), "|")
    print("| --- | --- |", " | ".join("---" for _ in columns), "|")
    for kind in sorted(totals):
        shares = [f"{100 * right[kind] / total[kind]:.1f}%" for right, total in columns.values()]
        print(f"| {kind} | {totals[kind]} |", " | ".join(shares), "|")
    print()


def experts_table(run: Path, sample: list[world.Document]) -> None:
    """Share of tokens that each layer's router sends to each expert, in percent; even is 12.5."""
    model = export.load(run / "checkpoint.pt")
    encoder = conversation.Encoder(str(run / "tokenizer.model"))
    loads = torch.zeros(model.c.n_layers, model.c.n_experts)
    for drawn in sample:
        ids, _ = encoder.conversation(Random(0), drawn, 0)
        n = len(ids)
        mask = torch.ones(1, 1, n, n, dtype=torch.bool).tril()
        with torch.no_grad():
            loads += model(torch.tensor([ids]), mask, torch.tensor([n - 1]), torch.float32)[2]
    print("| layer |", " | ".join(f"expert {idx}" for idx in range(model.c.n_experts)), "|")
    print("| --- |", " | ".join("---" for _ in range(model.c.n_experts)), "|")
    for layer_idx, shares in enumerate(100 * loads / loads.sum(dim=1, keepdim=True)):
        print(f"| {layer_idx} |", " | ".join(f"{share:.1f}%" for share in shares), "|")
    print()


def evaluate_run(binary: Path, run: Path, types: list[str], sample: list[world.Document]) -> None:
    text = "\n".join(drawn.text for drawn in sample)
    columns, perplexities, sizes = {}, {}, {}
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder, "checkpoint")
        export.main(run / "checkpoint.pt", run / "tokenizer.model", checkpoint)
        for type_ in types:
            model = Path(folder, f"{type_}.gguf")
            Program(binary, None).run("quantize", checkpoint, model, "--type", type_)
            program = Program(binary, model)
            columns[type_] = facts_right(program, sample)
            perplexities[type_] = program.perplexity(text)
            sizes[type_] = model.stat().st_size
    facts_table(columns)
    print("| format | MB | facts right | perplexity |")
    print("| --- | --- | --- | --- |")
    for type_ in types:
        right, total = columns[type_]
        share = f"{100 * right[ALL] / total[ALL]:.1f}%"
        print(f"| {type_} | {sizes[type_] / 1e6:.2f} | {share} | {perplexities[type_]:.4f} |")
    print()
    experts_table(run, sample)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gatefold", type=Path, default=ROOT / "target/release/gatefold")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--n", type=int, default=500, help="documents")
    parser.add_argument("--run", type=Path, help="folder of train.py")
    parser.add_argument("--types", default=TYPES, help="formats to measure a run in")
    args = parser.parse_args()
    sample = documents(args.n)
    if args.run:
        evaluate_run(args.gatefold, args.run, args.types.split(","), sample)
    else:
        program = Program(args.gatefold, args.model)
        facts_table({"facts right": facts_right(program, sample)})


if __name__ == "__main__":
    main()
