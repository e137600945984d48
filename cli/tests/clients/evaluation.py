"""The tasks of `docs/evaluation` in lm-eval and Inspect, through `gatefold serve` with any model. By hand:

    python3 -m venv eval-env && eval-env/bin/pip install -r cli/tests/clients/requirements-evaluation.txt
    gatefold serve --port 8080 &
    eval-env/bin/python cli/tests/clients/evaluation.py http://127.0.0.1:8080/v1

It prints a line for each, and fails where lm-eval's figures are not those of the server's own log
probabilities, where company changes an answer, where an answer is not in the form that was asked for, or where
code that is right does not pass.
"""

import json
import math
import os
import sys
import tempfile
import urllib.request
from pathlib import Path

BASE_URL = sys.argv[1]
FOLDER = Path(__file__).resolve().parents[3] / "docs" / "evaluation"
os.environ |= {"HF_HUB_OFFLINE": "1", "GATEFOLD_BASE_URL": BASE_URL, "GATEFOLD_API_KEY": "none"}
os.chdir(FOLDER)
sys.path.insert(0, str(FOLDER))

import inspect_ai
import inspect_tasks
import lm_eval
from inspect_ai.util import JSONSchema
from lm_eval.tasks import TaskManager


def post(path, body):
    request = urllib.request.Request(
        BASE_URL.removesuffix("/v1") + path,
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as response:
        return json.load(response)


def get(path):
    with urllib.request.urlopen(BASE_URL.removesuffix("/v1") + path) as response:
        return json.load(response)


def ids_of(text, special=False):
    return post("/tokenize", {"prompt": text, "add_special_tokens": special})["tokens"]


def log_probability(ids, n_given):
    """Of the ids behind the first ones."""
    body = {"prompt": ids, "max_tokens": 0, "echo": True, "logprobs": 1}
    told = post("/v1/completions", body)["choices"][0]["logprobs"]["token_logprobs"]
    return sum(told[n_given:])


def scored(tasks, n_together):
    """Results of all four tasks, and for each what the model has said."""
    texts = {"base_url": f"{BASE_URL}/completions", "model": "served", "max_length": 1024}
    chats = {"base_url": f"{BASE_URL}/chat/completions", "model": "served"}
    results, said = {}, {}
    for model, args, names in [
        ("local-completions", texts, ["facts_choice", "texts_perplexity"]),
        ("local-chat-completions", chats, ["facts_answer", "facts_schema"]),
    ]:
        done = lm_eval.simple_evaluate(
            model,
            args | {"num_concurrent": n_together},
            tasks=names,
            task_manager=tasks,
            bootstrap_iters=0,
            apply_chat_template="chat" in model,
        )
        results |= done["results"]
        for name in names:
            samples = sorted(done["samples"][name], key=lambda sample: sample["doc_id"])
            said[name] = [sample["resps"] for sample in samples]
    return results, said


def check_lm_eval():
    tasks = TaskManager(include_path=".")
    results, said = scored(tasks, 1)
    together = scored(tasks, 8)
    assert (results, said) == together, "company changes answers"
    for name, result in results.items():
        print(name, {key: value for key, value in result.items() if key.endswith(",none")})

    first = get("/tokenizer_info")
    (first,) = ids_of(first["bos_token"] or first["eos_token"])
    texts = [json.loads(line)["text"] for line in open("texts.jsonl")]
    total = sum(log_probability([first, *ids_of(text)], 1) for text in texts)
    bits = -total / sum(len(text.encode()) for text in texts) / math.log(2)
    told = results["texts_perplexity"]["bits_per_byte,none"]
    assert abs(bits - told) < 1e-5, (bits, told)

    n_right, facts = 0, [json.loads(line) for line in open("facts.jsonl")]
    for fact in facts:
        lines = [f"{letter}. {choice}" for letter, choice in zip("ABCD", fact["choices"], strict=True)]
        prompt = "\n".join([fact["question"], *lines, "Answer:"])
        # As lm-eval cuts them: the space goes to the choice.
        given = ids_of(prompt)
        whole = [ids_of(f"{prompt} {letter}") for letter in "ABCD"]
        values = [log_probability(ids, len(given)) for ids in whole]
        n_right += values.index(max(values)) == fact["answer"]
    assert results["facts_choice"]["acc,none"] == n_right / len(facts)
    assert results["facts_schema"]["is_json,none"] == 1


def check_inspect():
    with tempfile.TemporaryDirectory() as folder:
        settings = {"log_dir": folder, "display": "none"}
        served = "openai-api/gatefold/served"
        tasks = [inspect_tasks.facts(), inspect_tasks.code(sandbox="local")]
        for log in inspect_ai.eval(tasks, model=served, **settings):
            assert log.status == "success", log.error
            assert all(sample.error is None for sample in log.samples)
            (score,) = log.results.scores
            print("inspect,", log.eval.task, {name: it.value for name, it in score.metrics.items()})
        # The model can say nothing but this code, which is right for one of two.
        for code, accuracy in [("def double(x): return 2 * x", 0.5), ("largest = max", 0.5), ("", 0)]:
            task = inspect_tasks.code(sandbox="local")
            task.dataset = task.dataset[:2]
            task.config.response_schema.json_schema.properties["code"] = JSONSchema(enum=[code])
            (log,) = inspect_ai.eval(task, model=served, **settings)
            (score,) = log.results.scores
            assert score.metrics["accuracy"].value == accuracy, (code, score)


check_lm_eval()
check_inspect()
