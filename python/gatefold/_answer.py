"""Answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping


@dataclass(frozen=True)
class Answer:
    """The first answer to a request."""

    #: What it says; nothing where it consists of calls of functions, which `body` has.
    text: str
    #: `stop`, `length` or `tool_calls`.
    finish_reason: str
    #: With this seed it is made again.
    seed: int
    #: A hash of the last logits: the same on every machine.
    logits_hash: str
    #: Tokens of the prompt.
    prompt_tokens: int
    #: Tokens of all answers.
    completion_tokens: int
    #: Everything, as the server has sent it.
    body: Mapping[str, Any]

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Answer:
        """The answer in what `/v1/completions` or `/v1/chat/completions` has sent."""
        choice = body["choices"][0]
        text = choice["message"]["content"] if "message" in choice else choice["text"]
        usage, receipt = body["usage"], choice["receipt"]
        return cls(
            text=text or "",
            finish_reason=choice["finish_reason"],
            seed=receipt["seed"],
            logits_hash=receipt["logits_hash"],
            prompt_tokens=usage["prompt_tokens"],
            completion_tokens=usage["completion_tokens"],
            body=body,
        )
