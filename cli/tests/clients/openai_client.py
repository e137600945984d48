"""OpenAI's own Python client against `gatefold serve` with the demo model. By hand:

    python3 -m venv clients-env && clients-env/bin/pip install -r cli/tests/clients/requirements.txt
    gatefold serve --port 8080 --data-dir "$(mktemp -d)" &
    clients-env/bin/python cli/tests/clients/openai_client.py http://127.0.0.1:8080/v1

It prints one line, and fails at the first thing that is not as it should be.
"""

import asyncio
import json
import sys
import time
from typing import Literal

import openai
import pydantic
from openai.types.responses import Response

BASE_URL = sys.argv[1]
MESSAGES = [{"role": "user", "content": "Write a report on the incident in Silverby."}]


def check_chat(client, model):
    """The answer as a whole and as a stream; returns its text."""
    asked = {"model": model, "messages": MESSAGES, "max_tokens": 60, "temperature": 0}
    asked |= {"logprobs": True, "top_logprobs": 3}
    whole = client.chat.completions.create(**asked)
    choice = whole.choices[0]
    assert "".join(token.token for token in choice.logprobs.content) == choice.message.content
    text, logprobs, reason, usage = "", [], None, None
    for chunk in client.chat.completions.create(
        **asked, stream=True, stream_options={"include_usage": True}
    ):
        usage = chunk.usage or usage
        for piece in chunk.choices:
            text += piece.delta.content or ""
            logprobs += piece.logprobs.content if piece.logprobs else []
            reason = piece.finish_reason or reason
    assert (text, reason) == (choice.message.content, choice.finish_reason)
    assert [token.logprob for token in logprobs] == [
        token.logprob for token in choice.logprobs.content
    ]
    assert usage.total_tokens == whole.usage.total_tokens
    with client.chat.completions.stream(model=model, messages=MESSAGES, temperature=0) as stream:
        for _ in stream:
            pass
        assert stream.get_final_completion().choices[0].message.content == text
    parts = [{"type": "text", "text": "Hello"}]
    several = client.chat.completions.create(
        model=model,
        messages=[{"role": "developer", "content": parts}, {"role": "user", "content": parts}],
        max_completion_tokens=5,
        n=2,
        stop=["zz"],
        presence_penalty=0.5,
        logit_bias={"5": -100},
    )
    assert len(several.choices) == 2
    return text


def check_texts(client, model):
    """Prompts with their log probabilities."""
    answer = client.completions.create(
        model=model, prompt=["The crew", "It was"], max_tokens=8, logprobs=2, echo=True
    )
    for choice, prompt in zip(answer.choices, ["The crew", "It was"]):
        assert choice.text.startswith(prompt)
        assert choice.logprobs.token_logprobs[0] is None
        assert all(logprob < 0 for logprob in choice.logprobs.token_logprobs[1:])
        assert "".join(choice.logprobs.tokens) == choice.text


def check_errors(client, model):
    """What is wrong is named."""
    schema = {"type": "json_schema", "json_schema": {"name": "s", "schema": {"not": {}}}}
    long = [{"role": "user", "content": "word " * 10_000}]
    for code, asked in [
        ("invalid_value", {"messages": MESSAGES, "response_format": schema}),
        ("context_length_exceeded", {"messages": long, "stream": True}),
        ("invalid_value", {"messages": MESSAGES, "temperature": 9}),
    ]:
        try:
            client.chat.completions.create(model=model, **asked)
        except openai.BadRequestError as error:
            assert error.code == code and error.param, error
        else:
            raise AssertionError(code)


def check_responses(client, model, text):
    """The same answer in another form, whole and as typed events."""
    asked = {"model": model, "input": MESSAGES, "max_output_tokens": 60, "temperature": 0}
    whole = client.responses.create(**asked, include=["message.output_text.logprobs"])
    assert (whole.output_text, whole.status) == (text, "completed"), whole
    assert "".join(token.token for token in whole.output[0].content[0].logprobs) == text
    kinds, told = [], ""
    for event in client.responses.create(**asked, stream=True):
        kinds.append(event.type)
        if event.type == "response.output_text.delta":
            told += event.delta
    assert told == text and event.response.output_text == text
    assert event.response.usage.total_tokens == whole.usage.total_tokens
    assert (kinds[0], kinds[-1]) == ("response.created", "response.completed"), kinds
    with client.responses.stream(**asked) as stream:
        for _ in stream:
            pass
        assert stream.get_final_response().output_text == text
    short = client.responses.create(**asked | {"max_output_tokens": 2}, instructions="Be brief.")
    assert short.incomplete_details.reason == "max_output_tokens"
    try:
        client.responses.create(model=model, input="Hello", previous_response_id=whole.id)
    except openai.BadRequestError as error:
        assert error.param == "previous_response_id" and error.request_id
    else:
        raise AssertionError("previous_response_id")


def check_response_forms(client, model):
    """Responses by a schema, and calls of functions in them, whole and as typed events."""

    class Place(pydantic.BaseModel):
        town: Literal["Silverby", "Elsewhere"]
        is_far: bool

    asked = {"model": model, "input": MESSAGES, "max_output_tokens": 400}
    asked["extra_body"] = {"seed": 1}
    parsed = client.responses.parse(**asked, text_format=Place).output_parsed
    assert isinstance(parsed, Place), parsed
    with client.responses.stream(**asked, text_format=Place) as stream:
        stream.until_done()
        assert stream.get_final_response().output_parsed == parsed
    free = client.responses.create(**asked | {"temperature": 0}, text={"format": {"type": "json_object"}})
    assert free.text.format.type == "json_object" and free.output_text.lstrip().startswith("{")

    tool = openai.pydantic_function_tool(Place, name="report")["function"] | {"type": "function"}
    asked |= {"tools": [tool], "tool_choice": "required", "parallel_tool_calls": False}
    whole = client.responses.create(**asked)
    [call] = whole.output
    assert (call.type, call.name, call.status) == ("function_call", "report", "completed"), call
    assert isinstance(Place.model_validate_json(call.arguments), Place)
    assert (whole.tools[0].name, whole.tool_choice, whole.parallel_tool_calls) == ("report", "required", False)
    kinds, told = [], ""
    for event in client.responses.create(**asked, stream=True):
        kinds.append(event.type)
        told += event.delta if event.type == "response.function_call_arguments.delta" else ""
    [streamed] = event.response.output
    assert (told, streamed.call_id) == (call.arguments, call.call_id)
    assert kinds[2:] == [
        "response.output_item.added",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.output_item.done",
        "response.completed",
    ], kinds
    with client.responses.stream(**asked) as stream:
        stream.until_done()
        [parsed] = stream.get_final_response().output
        assert parsed.arguments == call.arguments

    result = {"type": "function_call_output", "call_id": call.call_id, "output": "done"}
    asked |= {"input": [*MESSAGES, *whole.output, result], "max_output_tokens": 20}
    answer = client.responses.create(**asked | {"tool_choice": "none"})
    assert [item.type for item in answer.output] == ["message"]
    of_stream = client.responses.create(**asked | {"input": [*MESSAGES, streamed, result], "tool_choice": "none"})
    assert of_stream.output_text == answer.output_text
    try:
        client.responses.create(**asked | {"tools": [{"type": "web_search"}]})
    except openai.BadRequestError as error:
        assert (error.code, error.param) == ("unsupported_parameter", "tools[0].type"), error
    else:
        raise AssertionError("web_search")


def check_batches(client, model, text):
    """Files, and a batch of requests in one."""
    url = "/v1/chat/completions"
    row = {"method": "POST", "url": url, "body": {"model": model, "messages": MESSAGES}}
    row["body"] |= {"temperature": 0, "max_tokens": 60}
    rows = [row | {"custom_id": str(idx)} for idx in range(50)]
    rows[7] = rows[7] | {"body": {"messages": MESSAGES, "temperature": 9}}
    data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    file = client.files.create(file=("rows.jsonl", data), purpose="batch")
    assert (file.filename, file.bytes) == ("rows.jsonl", len(data))
    assert client.files.retrieve(file.id) == file and client.files.content(file.id).read() == data
    batch = client.batches.create(
        input_file_id=file.id, endpoint=url, completion_window="24h", metadata={"name": "test"}
    )
    while batch.status not in ("completed", "failed"):
        time.sleep(0.1)
        batch = client.batches.retrieve(batch.id)
    assert (batch.status, batch.metadata) == ("completed", {"name": "test"}), batch
    assert (batch.request_counts.completed, batch.request_counts.failed) == (49, 1)
    answers = client.files.content(batch.output_file_id).text.splitlines()
    answers = [json.loads(line)["response"]["body"] for line in answers]
    assert {answer["choices"][0]["message"]["content"] for answer in answers} == {text}
    (fault,) = client.files.content(batch.error_file_id).text.splitlines()
    assert json.loads(fault)["custom_id"] == "7"
    waiting = client.batches.create(input_file_id=file.id, endpoint=url, completion_window="24h")
    assert client.batches.cancel(waiting.id).status in ("cancelling", "cancelled")
    assert [batch.id for batch in client.batches.list(limit=1)][:2] == [waiting.id, batch.id]
    while client.batches.retrieve(waiting.id).status != "cancelled":
        time.sleep(0.1)
    url = "/v1/responses"
    body = {"model": model, "input": MESSAGES, "temperature": 0, "max_output_tokens": 60}
    row = {"custom_id": "0", "method": "POST", "url": url, "body": body}
    file = client.files.create(file=("rows.jsonl", json.dumps(row).encode()), purpose="batch")
    batch = client.batches.create(input_file_id=file.id, endpoint=url, completion_window="24h")
    while batch.status not in ("completed", "failed"):
        time.sleep(0.1)
        batch = client.batches.retrieve(batch.id)
    answer = json.loads(client.files.content(batch.output_file_id).text)["response"]["body"]
    assert Response.model_validate(answer).output_text == text
    for old in list(client.files.list()):
        assert client.files.delete(old.id).deleted
    assert not list(client.files.list())


def check_forms(client, model):
    """Answers by a schema, and calls of functions."""
    schema = {
        "type": "object",
        "properties": {"town": {"enum": ["Silverby", "Elsewhere"]}, "n": {"type": "integer", "maximum": 9, "minimum": 0}},
        "required": ["town", "n"],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "json_schema": {"name": "place", "strict": True, "schema": schema}}
    answer = client.chat.completions.create(model=model, messages=MESSAGES, response_format=form)
    assert json.loads(answer.choices[0].message.content).keys() == {"town", "n"}
    tool = {"type": "function", "function": {"name": "report", "parameters": schema}}
    asked = {"model": model, "messages": MESSAGES, "tools": [tool], "tool_choice": "required", "seed": 1}
    asked["parallel_tool_calls"] = False
    choice = client.chat.completions.create(**asked).choices[0]
    [call] = choice.message.tool_calls
    assert (choice.finish_reason, call.function.name) == ("tool_calls", "report")
    assert json.loads(call.function.arguments).keys() == {"town", "n"}
    with client.chat.completions.stream(**asked) as stream:
        for _ in stream:
            pass
        [streamed] = stream.get_final_completion().choices[0].message.tool_calls
    assert (streamed.id, streamed.function.arguments) == (call.id, call.function.arguments)
    result = {"role": "tool", "tool_call_id": call.id, "content": "done"}
    asked["messages"] = MESSAGES + [choice.message.model_dump(exclude_none=True), result]
    answer = client.chat.completions.create(**asked | {"tool_choice": "none", "max_tokens": 20})
    assert answer.choices[0].message.tool_calls is None


async def check_company(model, text):
    """Many at a time, some of whom go."""
    client = openai.AsyncOpenAI(base_url=BASE_URL, api_key="none", max_retries=0)
    ask = client.chat.completions.create
    answers = await asyncio.gather(
        *[ask(model=model, messages=MESSAGES, temperature=0) for _ in range(64)]
    )
    assert {answer.choices[0].message.content for answer in answers} == {text}
    for _ in range(3):
        stream = await ask(model=model, messages=MESSAGES, stream=True)
        async for _ in stream:
            break
        await stream.close()


def main():
    client = openai.OpenAI(base_url=BASE_URL, api_key="none", max_retries=0)
    model = client.models.list().data[0].id
    assert client.models.retrieve(model).id == model
    text = check_chat(client, model)
    check_texts(client, model)
    check_responses(client, model, text)
    check_response_forms(client, model)
    check_batches(client, model, text)
    check_errors(client, model)
    check_forms(client, model)
    asyncio.run(check_company(model, text))
    print(f"openai {openai.__version__}: models, chats, streams, texts, responses, their forms and calls, files, batches, errors, forms, calls, company: as expected")


main()
