"""The same questions for Inspect, and code in MBPP's form, which is run in a sandbox."""

import json
from pathlib import Path

from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import GenerateConfig, ResponseSchema
from inspect_ai.scorer import CORRECT, INCORRECT, Score, accuracy, choice, scorer
from inspect_ai.solver import generate, multiple_choice
from inspect_ai.util import JSONSchema, sandbox

HERE = Path(__file__).parent
CODE = JSONSchema(
    type="object",
    properties={"code": JSONSchema(type="string")},
    required=["code"],
    additionalProperties=False,
)


def rows(name):
    return [json.loads(line) for line in (HERE / name).read_text().splitlines()]


@task
def facts():
    """Multiple choice: the model says which."""
    samples = [
        Sample(input=row["question"], choices=row["choices"], target="ABCD"[row["answer"]])
        for row in rows("facts.jsonl")
    ]
    return Task(MemoryDataset(samples), solver=multiple_choice(max_tokens=32), scorer=choice())


@scorer(metrics=[accuracy()])
def passes():
    async def score(state, target):
        try:
            code = json.loads(state.output.completion)["code"]
        except (ValueError, KeyError, TypeError):
            return Score(value=INCORRECT, explanation="it was cut off")
        run = await sandbox().exec(["python3", "-c", f"{code}\n{target.text}"], timeout=20)
        return Score(value=CORRECT if run.success else INCORRECT, answer=code, explanation=run.stderr)

    return score


@task
def code(sandbox="docker"):
    """Functions that must pass tests; the form of the answer is held by a schema."""
    samples = [
        Sample(
            input="\n".join([row["text"], "It must pass:", *row["test_list"], "Answer with JSON: {\"code\": ...}"]),
            target="\n".join(row["test_list"]),
        )
        for row in rows("code.jsonl")
    ]
    form = ResponseSchema(name="code", json_schema=CODE)
    return Task(
        MemoryDataset(samples),
        solver=generate(),
        scorer=passes(),
        sandbox=sandbox,
        config=GenerateConfig(max_tokens=200, temperature=0, seed=1, response_schema=form),
    )
