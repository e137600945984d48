"""Simon Willison's `llm` against `gatefold serve` with the demo model. By hand:

    python3 -m venv clients-env && clients-env/bin/pip install -r cli/tests/clients/requirements.txt
    gatefold serve --port 8080 &
    clients-env/bin/python cli/tests/clients/llm_client.py http://127.0.0.1:8080/v1

It prints one line, and fails at the first thing that is not as it should be.
"""

import json
import os
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import jsonschema
import openai

BASE_URL = sys.argv[1]
QUESTION = "Write a report on the incident in Silverby."
SCHEMA = {
    "type": "object",
    "properties": {"place": {"type": "string", "maxLength": 20}, "hurt": {"type": "integer"}},
    "required": ["place", "hurt"],
    "additionalProperties": False,
}
MODELS = """\
- {{model_id: chat, model_name: {model}, api_base: "{url}", supports_schema: true, supports_tools: true}}
- {{model_id: whole, model_name: {model}, api_base: "{url}", can_stream: false}}
- {{model_id: texts, model_name: {model}, api_base: "{url}", completion: true}}
- {{model_id: responses, model_name: {model}, api_base: "{url}", responses: true, supports_schema: true}}
"""


class Program:
    """The program `llm` with a folder of its own, which names the server's model in four ways."""

    def __init__(self, folder, model):
        Path(folder, "extra-openai-models.yaml").write_text(MODELS.format(model=model, url=BASE_URL))
        self.settings = os.environ | {"LLM_USER_PATH": folder}

    def run(self, *args, fails=False):
        """What it prints; where it fails, what it says."""
        args = [sys.executable, "-m", "llm", *args]
        done = subprocess.run(
            args, env=self.settings, capture_output=True, text=True, stdin=subprocess.DEVNULL
        )
        assert (done.returncode != 0) == fails, done.stderr
        return done.stderr if fails else done.stdout.removesuffix("\n")


def check_chat(llm):
    """The same answer whole, as a stream and by the other endpoint, and a conversation."""
    greedy = ["-o", "temperature", "0", "-o", "max_tokens", "60"]
    text = llm.run("-m", "chat", QUESTION, *greedy)
    assert text != ""
    assert llm.run("-m", "chat", "--no-stream", QUESTION, *greedy) == text
    assert llm.run("-m", "whole", QUESTION, *greedy) == text
    assert llm.run("-m", "responses", QUESTION, *greedy) == text
    drawn = ["-o", "temperature", "1", "-o", "max_tokens", "60", "-o", "seed"]
    first, second, other = [llm.run("-m", "chat", QUESTION, *drawn, seed) for seed in "778"]
    assert first == second != other
    more = llm.run("--continue", "And then?", *greedy)
    (log,) = json.loads(llm.run("logs", "--json", "-n", "1"))
    assert log["response"].strip() == more.strip() != "" and log["output_tokens"] <= 60


def check_texts(llm):
    """The completion of a text, as a stream and whole."""
    limits = ["-o", "temperature", "0", "-o", "max_tokens", "12"]
    told = llm.run("-m", "texts", "The crew", *limits)
    assert told == llm.run("-m", "texts", "--no-stream", "The crew", *limits) != ""


def check_schema(llm):
    """Structured output, as a stream and whole."""
    for way in [[], ["--no-stream"]]:
        asked = ["--schema", json.dumps(SCHEMA), "-o", "temperature", "1", "-o", "max_tokens", "600"]
        told = llm.run("-m", "chat", QUESTION, *asked, *way)
        jsonschema.validate(json.loads(told), SCHEMA)


def check_errors(llm):
    """What is wrong is told as the server tells it."""
    assert "1024" in llm.run("-m", "chat", "word " * 10_000, fails=True)


def check_tools(llm):
    """A tool that may be called."""
    code = "def weather(place: str) -> str:\n    'The weather at a place.'\n    return 'dry'"
    assert llm.run("-m", "chat", QUESTION, "--functions", code, "-o", "temperature", "0") != ""


def main():
    model = openai.OpenAI(base_url=BASE_URL, api_key="none").models.list().data[0].id
    with tempfile.TemporaryDirectory() as folder:
        llm = Program(folder, model)
        check_chat(llm)
        check_texts(llm)
        check_schema(llm)
        check_errors(llm)
        check_tools(llm)
    print(f"llm {version('llm')}: chats, streams, conversations, responses, texts, schemas, errors, tools: as expected")


main()
