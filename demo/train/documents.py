"""Writes sample documents, two of each kind, held out from training and without made-up names, and
their facts.

    python documents.py FOLDER
"""

import json
import sys
from collections import Counter
from pathlib import Path
from random import Random

import evaluate
import world


def main(folder: str) -> None:
    rng, out = Random("samples"), Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    kinds, facts = Counter(), {}
    while len(facts) < 2 * len(world.KINDS):
        document = evaluate.document(rng)
        if any(map(evaluate.is_made_up, document.facts)):
            continue
        kinds[document.kind] += 1
        if kinds[document.kind] <= 2:
            name = f"{document.kind}-{kinds[document.kind]}.txt"
            (out / name).write_text(document.text + "\n")
            facts[name] = [fact.text for fact in document.facts]
    (out / "facts.json").write_text(json.dumps(facts, indent=2) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
