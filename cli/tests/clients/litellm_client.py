"""LiteLLM against `gatefold serve` with the demo model. By hand:

    python3 -m venv clients-env && clients-env/bin/pip install -r cli/tests/clients/requirements.txt
    gatefold serve --port 8080 --data-dir "$(mktemp -d)" &
    clients-env/bin/python cli/tests/clients/litellm_client.py http://127.0.0.1:8080/v1

It prints one line, and fails at the first thing that is not as it should be.
"""

import asyncio
import json
import os
import sys
import time
from importlib.metadata import version

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # Or it asks a host for prices.

import jsonschema
import litellm
import openai

BASE_URL = sys.argv[1]
MESSAGES = [{"role": "user", "content": "Write a report on the incident in Silverby."}]
SCHEMA = {
    "type": "object",
    "properties": {
        "places": {"type": "array", "items": {"type": "string", "maxLength": 12}, "maxItems": 3},
        "grave": {"type": "boolean"},
    },
    "required": ["places", "grave"],
    "additionalProperties": False,
}
HOST = {"api_base": BASE_URL, "api_key": "none"}


def settings(model):
    return HOST | {"model": f"openai/{model}", "max_tokens": 60, "temperature": 0, "num_retries": 0}


def text_of(answer):
    return answer.choices[0].message.content


def check_chat(model):
    """The answer as a whole and as a stream; returns its text."""
    asked = settings(model) | {"messages": MESSAGES, "logprobs": True, "top_logprobs": 2}
    whole = litellm.completion(**asked)
    text = text_of(whole)
    assert "".join(token.token for token in whole.choices[0].logprobs.content) == text != ""
    chunks = list(litellm.completion(**asked, stream=True, stream_options={"include_usage": True}))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == text
    built = litellm.stream_chunk_builder(chunks, messages=MESSAGES)
    assert text_of(built) == text
    assert built.usage.completion_tokens == whole.usage.completion_tokens
    assert built.choices[0].finish_reason == whole.choices[0].finish_reason
    several = litellm.completion(**asked | {"temperature": 1, "n": 3, "seed": 5})
    again = litellm.completion(**asked | {"temperature": 1, "n": 3, "seed": 5})
    several, again = [[choice.message.content for choice in one.choices] for one in (several, again)]
    assert several == again and len(set(several)) == 3
    return text


def check_company(model, text):
    """Many at a time, as threads and as tasks."""
    answers = litellm.batch_completion(**settings(model), messages=[MESSAGES] * 16)
    assert {text_of(answer) for answer in answers} == {text}

    async def together():
        asked = settings(model) | {"messages": MESSAGES}
        return await asyncio.gather(*[litellm.acompletion(**asked) for _ in range(16)])

    assert {text_of(answer) for answer in asyncio.run(together())} == {text}


def check_schema(model):
    """Structured output, whole and as a stream."""
    form = {"name": "incident", "strict": True, "schema": SCHEMA}
    asked = settings(model) | {"messages": MESSAGES, "max_tokens": 600, "temperature": 1.5}
    asked |= {"response_format": {"type": "json_schema", "json_schema": form}}
    for seed in range(8):
        text = text_of(litellm.completion(**asked, seed=seed))
        jsonschema.validate(json.loads(text), SCHEMA)
        chunks = list(litellm.completion(**asked, seed=seed, stream=True))
        assert text_of(litellm.stream_chunk_builder(chunks)) == text
    asked |= {"response_format": {"type": "json_object"}, "temperature": 1, "seed": 1, "stop": ["},"]}
    answer = litellm.completion(**asked).choices[0]
    assert answer.finish_reason == "length" or isinstance(json.loads(answer.message.content), dict)


def check_tools(model):
    """A tool that must be called, by both endpoints."""
    function = {"name": "note", "description": "Notes an incident.", "parameters": SCHEMA}
    asked = settings(model) | {"messages": MESSAGES, "max_tokens": 600, "temperature": 1, "seed": 3}
    single = {"tool_choice": "required", "parallel_tool_calls": False}
    asked |= {"tools": [{"type": "function", "function": function}]} | single
    (call,) = litellm.completion(**asked).choices[0].message.tool_calls
    assert call.function.name == "note"
    jsonschema.validate(json.loads(call.function.arguments), SCHEMA)
    asked = HOST | {"model": f"openai/{model}", "input": MESSAGES, "max_output_tokens": 600}
    asked |= {"tools": [function | {"type": "function"}]} | single
    (item,) = litellm.responses(**asked, temperature=1, extra_body={"seed": 3}).output
    assert (item.name, item.arguments) == (call.function.name, call.function.arguments)


def check_texts(model):
    """Completions of texts, and the log probabilities of what was given."""
    asked = settings(model) | {"model": f"text-completion-openai/{model}", "max_tokens": 8}
    answer = litellm.text_completion(**asked, prompt=["The crew", "It was"], echo=True, logprobs=2)
    for choice, prompt in zip(answer.choices, ["The crew", "It was"], strict=True):
        assert choice.text.startswith(prompt)
        assert len(choice.logprobs.token_logprobs) == len(choice.logprobs.tokens)
        assert "".join(choice.logprobs.tokens) == choice.text
    alone = litellm.text_completion(**asked, prompt="The crew").choices[0].text
    assert answer.choices[0].text == "The crew" + alone


def check_responses(model, text):
    """The same answer by the other endpoint, whole and as events."""
    asked = HOST | {"model": f"openai/{model}", "input": MESSAGES, "max_output_tokens": 60}
    whole = litellm.responses(**asked, temperature=0)
    assert whole.output[0].content[0].text == text
    events = litellm.responses(**asked, temperature=0, stream=True)
    told = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert told == text


def check_errors(model):
    """Errors have the classes that LiteLLM has for them."""
    long = [{"role": "user", "content": "word " * 10_000}]
    for kind, asked in [
        (litellm.ContextWindowExceededError, {"messages": long}),
        (litellm.BadRequestError, {"messages": MESSAGES, "temperature": 9}),
    ]:
        try:
            litellm.completion(**settings(model) | asked)
        except kind:
            pass
        else:
            raise AssertionError(kind)


def check_batches(model, text):
    """Files, and a batch of requests in one."""
    url = "/v1/chat/completions"
    body = {"model": model, "messages": MESSAGES, "temperature": 0, "max_tokens": 60}
    row = {"method": "POST", "url": url, "body": body}
    data = "".join(json.dumps(row | {"custom_id": str(idx)}) + "\n" for idx in range(20)).encode()
    host = HOST | {"custom_llm_provider": "openai"}
    file = litellm.create_file(file=("rows.jsonl", data), purpose="batch", **host)
    batch = litellm.create_batch(
        completion_window="24h", endpoint=url, input_file_id=file.id, **host
    )
    while batch.status not in ("completed", "failed"):
        time.sleep(0.1)
        batch = litellm.retrieve_batch(batch_id=batch.id, **host)
    assert (batch.status, batch.request_counts.completed) == ("completed", 20), batch
    answers = litellm.file_content(file_id=batch.output_file_id, **host).text.splitlines()
    answers = [json.loads(line)["response"]["body"] for line in answers]
    assert [answer["choices"][0]["message"]["content"] for answer in answers] == [text] * 20
    assert batch.id in [one.id for one in litellm.list_batches(**host).data]
    assert litellm.file_delete(file_id=file.id, **host).deleted


def main():
    model = openai.OpenAI(base_url=BASE_URL, api_key="none").models.list().data[0].id
    text = check_chat(model)
    check_company(model, text)
    check_schema(model)
    check_tools(model)
    check_texts(model)
    check_responses(model, text)
    check_errors(model)
    check_batches(model, text)
    name = f"litellm {version('litellm')}"
    print(f"{name}: chats, streams, company, schemas, texts, responses, errors, files, batches, tools: as expected")


main()
