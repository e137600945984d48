"""Answers to the rows of a Ray dataset: callables for `map_batches`.

    import gatefold.ray, ray

    rows = ray.data.read_parquet("letters/")
    rows = rows.map_batches(
        gatefold.ray.Chat,
        fn_constructor_kwargs={
            "model": "/shared/mixtral.gguf", "threads": 16, "column": "question",
            "key": "id", "kept": "/shared/answers", "max_tokens": 200,
        },
        compute=ray.data.ActorPoolStrategy(size=8), num_cpus=7,
        batch_size=128, batch_format="pyarrow",
    )
    rows.write_parquet("answers/")

All actors of a node ask one server, which ends with the last of them: one engine is what shares the
reading of weights among rows. Two actors on a node suffice, so that one's rows fill the end of
the other's block; `num_cpus` is how many come to a node. Only the server computes, with `threads`
threads, which Ray knows nothing of.

A row has these columns afterwards, in place of others of the same names:

    answer (or summary)              text
    finish_reason                    `stop`, `length` or `tool_calls`
    prompt_tokens, completion_tokens
    seed, logits_hash                the receipt: with this seed it is made again, with this hash
    key                              of the row: the column `key`, or else a hash of what is asked
    error                            why there is no answer; null if there is one

A row without a seed among the parameters has one from its key. So it has the same answer in every
run, on every node, after any number of restarts. With `kept`, a folder that all nodes see, answers are
there as soon as they are made, and a run that begins again asks for the others alone.

Rows that are refused say so in `error`. `ServerFailed`, where a node cannot run the model, is
Ray's to handle: other nodes can, and rows should not fail for it.
"""

from __future__ import annotations

import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Mapping

import pyarrow as pa  # type: ignore[import-untyped]
from ray.data.block import BlockAccessor, DataBatch

from ._answer import Answer
from ._errors import RequestFailed
from ._kept import Kept
from ._server import MOST_CALLS, Server

__all__ = ["Chat", "Completions", "Summaries"]

_COLUMNS: dict[str, Any] = {
    "finish_reason": pa.string(),
    "prompt_tokens": pa.int64(),
    "completion_tokens": pa.int64(),
    "seed": pa.uint64(),
    "logits_hash": pa.string(),
    "error": pa.string(),
}


class _Rows:
    """What all three do: ask for each row, and put the answers beside it."""

    _path: str
    _column: str
    _answer = "answer"

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        *,
        threads: int,
        column: str | None = None,
        key: str | None = None,
        kept: str | os.PathLike[str] | None = None,
        server: Mapping[str, Any] | None = None,
        **params: Any,
    ) -> None:
        """`threads` are those of the node's one engine, `column` has what is asked, `key` is the column
        with names of rows, and `kept` a folder for answers; `server` has more of what
        `gatefold.Server` takes, and `params` are those of the endpoint."""
        self._column, self._key, self._params = column or self._column, key, params
        self._server = Server(model, threads=threads, shared=True, **(server or {})).start()
        self._pool = ThreadPoolExecutor(MOST_CALLS, thread_name_prefix="rows")
        self._kept = None if kept is None else Kept(kept)
        # Stands for the model and all that answers depend on besides what is asked.
        nothing = self._server.post("/v1/completions", {"prompt": "a", "max_tokens": 0})
        self._model: str = nothing["system_fingerprint"]

    def __call__(self, batch: DataBatch) -> pa.Table:
        """A block of rows, in any of Ray's formats, with their answers."""
        table = BlockAccessor.for_block(BlockAccessor.batch_to_block(batch)).to_arrow()
        names = [None] * len(table) if self._key is None else table[self._key].to_pylist()
        rows = list(self._pool.map(self._row, table[self._column].to_pylist(), names))
        columns = {self._answer: pa.string(), **_COLUMNS}
        if self._key is None:
            columns["key"] = pa.string()
        for name, kind in columns.items():
            table = _with(table, name, pa.array([row.get(name) for row in rows], kind))
        return table

    def _row(self, asked: Any, name: Any) -> dict[str, Any]:
        try:
            body = {**self._body(_plain(asked)), **self._params}
            key = _hash(self._path, body)[:32] if name is None else str(name)
        except (TypeError, ValueError) as error:
            return {"error": f"the column {self._column} has no request: {error}"}
        # What JSON's numbers hold in every language, and tables with nulls.
        body.setdefault("seed", int(_hash(key), 16) % 2**53)
        place = bytes.fromhex(_hash(self._model, self._path, self._answer, body))[:16]
        row = None if self._kept is None else self._kept.get(place)
        if row is None:
            try:
                answer = self._ask(body)
            except RequestFailed as error:
                return {"key": key, "error": str(error)}
            row = {it: getattr(answer, it) for it in _COLUMNS if it != "error"}
            row[self._answer] = answer.text
            if self._kept is not None:
                self._kept.put(place, row)
        return {"key": key, **row}

    def _body(self, asked: Any) -> dict[str, Any]:
        """The request that a value is; `TypeError` and `ValueError` say that it is none."""
        raise NotImplementedError

    def _ask(self, body: dict[str, Any]) -> Answer:
        return Answer.of(self._server.post(self._path, body))


class Completions(_Rows):
    """Continues the texts of a column: `/v1/completions`."""

    _path = "/v1/completions"
    _column = "prompt"

    def _body(self, asked: Any) -> dict[str, Any]:
        if asked is None:
            raise ValueError("it is null")
        return {"prompt": asked}


class Chat(_Rows):
    """Answers the questions or conversations of a column: `/v1/chat/completions`."""

    _path = "/v1/chat/completions"
    _column = "messages"

    def _body(self, asked: Any) -> dict[str, Any]:
        if asked is None:
            raise ValueError("it is null")
        if isinstance(asked, str):
            return {"messages": [{"role": "user", "content": asked}]}
        return {"messages": asked}


class Summaries(Chat):
    """Summarizes the texts of a column, with the words and settings of `gatefold summarize`.

    A text that does not fit into the context is cut in half, between paragraphs, lines or words, and
    the summaries of the halves are summarized; the program cuts by tokens, which may be elsewhere.
    """

    _column = "text"
    _answer = "summary"

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        *,
        instruction: str = "Summarize this text.",
        **settings: Any,
    ) -> None:
        """As the others; `max_tokens` is 256, or a quarter of a small context, and `temperature` 0,
        unless they are given."""
        super().__init__(model, **{"temperature": 0, **settings})
        self._before = f"{instruction}\n\n"
        (served,) = self._server.get("/v1/models")["data"]
        self._params = {"max_tokens": min(256, served["max_model_len"] // 4), **self._params}

    def _body(self, asked: Any) -> dict[str, Any]:
        text = "" if asked is None else str(asked).strip()
        if not text:
            raise ValueError("there is no text")
        return super()._body(self._before + text)

    def _ask(self, body: dict[str, Any]) -> Answer:
        try:
            return super()._ask(body)
        except RequestFailed as error:
            text = body["messages"][0]["content"][len(self._before) :]
            halves = _halves(text)
            if error.code != "context_length_exceeded" or halves is None:
                raise
            parts = [self._ask({**body, **self._body(half)}) for half in halves]
            joined = "\n\n".join(part.text.strip() for part in parts).strip()
            if not 0 < len(joined) < len(text):
                raise
        whole = self._ask({**body, **self._body(joined)})
        return replace(
            whole,
            prompt_tokens=sum(it.prompt_tokens for it in [whole, *parts]),
            completion_tokens=sum(it.completion_tokens for it in [whole, *parts]),
        )


def _hash(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _plain(value: Any) -> Any:
    """A value as JSON has it: tables have NumPy's arrays for lists, and nulls where other rows have
    fields."""
    if isinstance(value, dict):
        return {name: _plain(it) for name, it in value.items() if it is not None}
    if hasattr(value, "tolist"):
        value = value.tolist()
    return [_plain(it) for it in value] if isinstance(value, list) else value


def _halves(text: str) -> tuple[str, str] | None:
    """Cuts between paragraphs, lines or words, where these begin in the middle third."""
    third = len(text) // 3
    for gap in ("\n\n", "\n", " "):
        place = text.rfind(gap, third, 2 * third)
        if place >= 0:
            return text[:place], text[place:]
    return None


def _with(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    place = table.schema.get_field_index(name)
    if place < 0:
        return table.append_column(name, values)
    return table.set_column(place, name, values)
