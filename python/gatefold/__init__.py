"""Gatefold from Python: a server of one's own, and what it answers.

    import gatefold

    with gatefold.Server("mixtral.gguf", threads=16) as server:
        print(server.complete("The capital of France is", max_tokens=8).text)
        answer = server.chat("Name three rivers.", seed=1)
        print(answer.text, answer.seed, answer.logits_hash)

    for row in gatefold.summarize(["letters/"], model="mixtral.gguf"):
        print(row["id"], row.get("summary", row.get("error")))

Nothing but the program `gatefold` and Python's standard library is needed. Answers are the same bits on
every machine, so asking again is harmless: a server that dies is started again, and what it was asked
is asked again.
"""

from ._answer import Answer
from ._errors import GatefoldError, ProgramFailed, RequestFailed, ServerFailed
from ._functions import achat, acomplete, chat, complete
from ._jobs import abatch, asummarize, batch, summarize
from ._server import Server

__all__ = [
    "Answer",
    "GatefoldError",
    "ProgramFailed",
    "RequestFailed",
    "Server",
    "ServerFailed",
    "abatch",
    "achat",
    "acomplete",
    "asummarize",
    "batch",
    "chat",
    "complete",
    "summarize",
]
