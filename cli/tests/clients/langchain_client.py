"""LangChain's client of OpenAI against `gatefold serve` with the demo model. By hand:

    python3 -m venv clients-env && clients-env/bin/pip install -r cli/tests/clients/requirements.txt
    gatefold serve --port 8080 &
    clients-env/bin/python cli/tests/clients/langchain_client.py http://127.0.0.1:8080/v1

It prints one line, and fails at the first thing that is not as it should be.
"""

import asyncio
import sys
from importlib.metadata import version
from typing import Literal

import jsonschema
import openai
from langchain_core.exceptions import ContextOverflowError
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAI

BASE_URL = sys.argv[1]
QUESTION = "Write a report on the incident in Silverby."
SCHEMA = {
    "title": "incident",
    "description": "What happened where.",
    "type": "object",
    "properties": {
        "place": {"type": "string", "maxLength": 20},
        "kind": {"enum": ["fire", "flood", "storm"]},
        "hurt": {"type": "integer", "minimum": 0, "maximum": 99},
    },
    "required": ["place", "kind", "hurt"],
    "additionalProperties": False,
}


def chat(model, **settings):
    settings = {"temperature": 0, "max_tokens": 60} | settings
    return ChatOpenAI(base_url=BASE_URL, api_key="none", model=model, max_retries=0, **settings)


def joined(chunks):
    """A stream as one message."""
    chunks = list(chunks)
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    return whole


def check_chat(model):
    """The answer as a whole, as a stream, with log probabilities, drawn by a seed; returns its text."""
    asked = [SystemMessage("Be brief."), HumanMessage(QUESTION)]
    whole = chat(model, stream_usage=True).invoke(asked)
    stream = joined(chat(model, stream_usage=True).stream(asked))
    assert stream.content == whole.content != ""
    assert stream.usage_metadata["total_tokens"] == whole.usage_metadata["total_tokens"]
    assert stream.response_metadata["finish_reason"] == whole.response_metadata["finish_reason"]

    probable = chat(model, logprobs=True, top_logprobs=3).invoke(asked)
    tokens = probable.response_metadata["logprobs"]["content"]
    assert "".join(token["token"] for token in tokens) == probable.content == whole.content
    # What is drawn at temperature 0 is the most probable.
    assert all(token["logprob"] == token["top_logprobs"][0]["logprob"] for token in tokens)
    streamed = joined(chat(model, logprobs=True, top_logprobs=3).stream(asked))
    assert streamed.response_metadata["logprobs"]["content"] == tokens

    drawn = [chat(model, temperature=1, seed=seed).invoke(asked).content for seed in [7, 7, 8]]
    assert drawn[0] == drawn[1] != drawn[2]
    stopped = chat(model).invoke(asked, stop=[whole.content[10:14]]).content
    assert stopped == whole.content[: whole.content.index(whole.content[10:14])]
    return whole.content


def check_batch(model, text):
    """Several at a time, alike and different, as threads and as tasks."""
    alike = [[SystemMessage("Be brief."), HumanMessage(QUESTION)]] * 16
    assert {answer.content for answer in chat(model).batch(alike)} == {text}
    different = [f"Write a report on the incident at number {idx}." for idx in range(16)]
    alone = [chat(model).invoke(question).content for question in different]
    assert [answer.content for answer in chat(model).batch(different)] == alone
    answers = asyncio.run(chat(model).abatch(different))
    assert [answer.content for answer in answers] == alone


def check_schema(model):
    """Structured output in the three ways that LangChain has."""
    for seed in range(8):
        told = chat(model, max_tokens=600, temperature=1.5, seed=seed)
        value = told.with_structured_output(SCHEMA, method="json_schema", strict=True).invoke(QUESTION)
        jsonschema.validate(value, SCHEMA)
        value = told.with_structured_output(SCHEMA, method="json_schema", include_raw=True).invoke(QUESTION)
        assert value["parsing_error"] is None
        jsonschema.validate(value["parsed"], SCHEMA)
    try:
        refused = SCHEMA | {"not": {"required": ["place"]}}
        chat(model).with_structured_output(refused, method="json_schema").invoke(QUESTION)
    except openai.BadRequestError as error:
        assert "/not" in str(error), error
    else:
        raise AssertionError("a keyword that is not enforced")


def check_tools(model):
    """A tool that must be called, by both endpoints; and an answer that goes on from what it says."""

    @tool
    def weather(place: Literal["Silverby", "Elsewhere"]) -> str:
        """The weather at a place."""
        return place

    answers = []
    for of_endpoint in [{}, {"use_responses_api": True}]:
        told = chat(model, max_tokens=600, temperature=1, extra_body={"seed": 3}, **of_endpoint)
        bound = told.bind_tools([weather], tool_choice="weather", strict=True)
        answer = bound.invoke(QUESTION)
        (call,) = answer.tool_calls
        assert call["name"] == "weather" and call["args"]["place"] in ("Silverby", "Elsewhere")
        streamed = joined(bound.stream(QUESTION))
        assert [made["args"] for made in streamed.tool_calls] == [call["args"]]
        for method in ["function_calling", "json_schema"]:
            value = told.with_structured_output(SCHEMA, method=method).invoke(QUESTION)
            jsonschema.validate(value, SCHEMA)
        free = told.bind_tools([weather], tool_choice="none")
        for said in [answer, streamed]:
            answers.append(free.invoke([HumanMessage(QUESTION), said, weather.invoke(call)]).text)
    assert answers[0] != "" and len(set(answers)) == 1, answers


def check_errors(model):
    """A prompt that does not fit is what LangChain calls so."""
    try:
        chat(model).invoke("word " * 10_000)
    except ContextOverflowError as error:
        assert "1024" in str(error), error
    else:
        raise AssertionError("a prompt that does not fit")


def check_responses(model, text):
    """The same answer by the other endpoint, whole and as a stream."""
    asked = [SystemMessage("Be brief."), HumanMessage(QUESTION)]
    told = chat(model, use_responses_api=True)
    assert told.invoke(asked).text == text
    assert joined(told.stream(asked)).text == text


def check_texts(model):
    """Completions of texts, several in one request."""
    texts = OpenAI(
        base_url=BASE_URL, api_key="none", model=model, temperature=0, max_tokens=20, max_retries=0
    )
    both = texts.generate(["The crew", "It was"]).generations
    assert [texts.invoke("The crew"), texts.invoke("It was")] == [one.text for (one,) in both]
    assert "".join(texts.stream("The crew")) == both[0][0].text


def main():
    model = openai.OpenAI(base_url=BASE_URL, api_key="none").models.list().data[0].id
    text = check_chat(model)
    check_batch(model, text)
    check_schema(model)
    check_tools(model)
    check_responses(model, text)
    check_texts(model)
    check_errors(model)
    name = f"langchain-openai {version('langchain-openai')}"
    print(f"{name}: chats, streams, log probabilities, batches, schemas, responses, texts, errors, tools: as expected")


main()
