"""Answers by JSON Schemas, checked by a validator that knows nothing of Gatefold. By hand:

    git clone --depth 1 https://github.com/json-schema-org/JSON-Schema-Test-Suite suite
    python3 -m venv clients-env && clients-env/bin/pip install -r cli/tests/clients/requirements.txt
    gatefold serve --port 8080 &
    clients-env/bin/python cli/tests/clients/schemas.py http://127.0.0.1:8080/v1 suite/tests/draft2020-12

Each schema of the suite (with `optional/format`, of which the formats are enforced) is asked for some
times at temperature 2, with other seeds. What is refused must be refused by the name of a place in the
schema, or since nothing is an instance of it; every answer that comes to its own end must be an
instance. It prints a line for each file, then the sums, and fails if there is a wrong answer.
"""

import collections
import concurrent.futures
import json
import pathlib
import sys
import urllib.error
import urllib.request

import jsonschema

BASE_URL, SUITE = sys.argv[1], pathlib.Path(sys.argv[2])
N_SEEDS = int(sys.argv[3]) if len(sys.argv) > 3 else 6
MESSAGES = [{"role": "user", "content": "Tell me anything."}]


def ask(schema, seed):
    """The answer and why it ended, or the message with which the schema is refused."""
    form = {"type": "json_schema", "json_schema": {"name": "case", "schema": schema}}
    body = {"messages": MESSAGES, "response_format": form, "temperature": 2, "seed": seed, "max_tokens": 250}
    url = BASE_URL + "/chat/completions"
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request) as reply:
            choice = json.load(reply)["choices"][0]
            return choice["message"]["content"], choice["finish_reason"]
    except urllib.error.HTTPError as error:
        problem = json.load(error)["error"]
        assert error.code == 400, (error.code, problem, schema)
        return problem["message"], problem["code"]


def is_instance(schema, text):
    """Whether a text is JSON, and an instance of the schema with its formats."""
    kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    return kind(schema, format_checker=kind.FORMAT_CHECKER).is_valid(json.loads(text))


def outcomes(schema):
    """What became of a schema, a word for each seed, with the wrong answers."""
    for seed in range(N_SEEDS):
        text, ending = ask(schema, seed)
        if ending == "invalid_value":
            yield "refused", text
            return
        if ending == "form_failed":
            yield "led nowhere", text
        elif ending == "length":
            yield "cut off", text
        else:
            yield ("valid" if is_instance(schema, text) else "WRONG"), text


def main():
    files = sorted(SUITE.glob("*.json")) + sorted((SUITE / "optional" / "format").glob("*.json"))
    sums, reasons, wrong = collections.Counter(), collections.Counter(), []
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        for path in files:
            cases = json.loads(path.read_text())
            found = collections.Counter()
            for case, words in zip(cases, pool.map(lambda case: list(outcomes(case["schema"])), cases)):
                found.update(word for word, _ in words)
                found["schemas"] += 1
                found["schemas enforced"] += words[0][0] != "refused"
                reasons.update(text.split(": ", 1)[-1] for word, text in words if word == "refused")
                wrong += [(path.name, case["description"], case["schema"], text) for word, text in words if word == "WRONG"]
            sums.update(found)
            print(path.name, dict(found))
    print("\nrefused, by reason:")
    for reason, count in reasons.most_common():
        print(f"{count:5} {reason}")
    for case in wrong:
        print("WRONG", *case)
    print("\nin all:", dict(sums))
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
