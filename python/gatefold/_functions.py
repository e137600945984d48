"""Questions to servers that are started when they are first asked, one for each model."""

from __future__ import annotations

import atexit
import os
import threading
from typing import Any

from ._answer import Answer
from ._server import Messages, Server

_servers: dict[str | None, Server] = {}
_lock = threading.Lock()


def _server(model: str | os.PathLike[str] | None) -> Server:
    name = None if model is None else os.path.abspath(model)
    with _lock:
        if name not in _servers:
            _servers[name] = Server(name)
            atexit.register(_servers[name].stop)
        return _servers[name]


def complete(prompt: str, *, model: str | os.PathLike[str] | None = None, **params: Any) -> Answer:
    """Continues a text: `Server.complete` of a server that is kept until Python ends."""
    return _server(model).complete(prompt, **params)


def chat(
    messages: Messages, *, model: str | os.PathLike[str] | None = None, **params: Any
) -> Answer:
    """Answers a question or a conversation: `Server.chat` of a server that is kept likewise."""
    return _server(model).chat(messages, **params)


async def acomplete(
    prompt: str, *, model: str | os.PathLike[str] | None = None, **params: Any
) -> Answer:
    """As `complete`."""
    return await _server(model).acomplete(prompt, **params)


async def achat(
    messages: Messages, *, model: str | os.PathLike[str] | None = None, **params: Any
) -> Answer:
    """As `chat`."""
    return await _server(model).achat(messages, **params)
