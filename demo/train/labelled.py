"""Prints the held-out documents of the evaluation with their kinds, a JSON line each.

    python labelled.py > held-out.jsonl
    gatefold routing held-out.jsonl --label-field kind
"""

import json

import evaluate


def main() -> None:
    for document in evaluate.documents(500):
        print(json.dumps({"kind": document.kind, "text": document.text}))


if __name__ == "__main__":
    main()
