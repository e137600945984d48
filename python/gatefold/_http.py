"""Requests to a server on this machine."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from typing import Any

from ._errors import RequestFailed


class Call:
    """A request that can be given up from another thread, upon which the server stops working on it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self.is_given_up = False

    def give_up(self) -> None:
        """Ends it."""
        with self._lock:
            self.is_given_up = True
            if self._socket is not None:
                try:
                    self._socket.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass  # It has ended by itself.

    def send(
        self, host: str, port: int, path: str, body: bytes | None, key: str | None = None
    ) -> tuple[int, dict[str, str], Any]:
        """Sends it, and waits for the answer however long that takes: its status, head and body, as text
        where that is no JSON.

        `OSError` and `http.client.HTTPException` say that the connection is broken.
        """
        connection = http.client.HTTPConnection(host, port)
        try:
            connection.connect()
            with self._lock:
                self._socket = connection.sock
                if self.is_given_up:
                    raise ConnectionAbortedError("the request was given up")
            head = {"Content-Type": "application/json"}
            if key is not None:
                head["Authorization"] = f"Bearer {key}"
            connection.request("GET" if body is None else "POST", path, body, head)
            response = connection.getresponse()
            text = response.read()
            head = {name.lower(): value for name, value in response.getheaders()}
            return response.status, head, _understood(text)
        finally:
            with self._lock:
                self._socket = None
            connection.close()


def _understood(text: bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text.decode(errors="replace")


def serialized(body: Any) -> bytes:
    """A body as it is sent; one that cannot be, or whose answer would not be one, is refused."""
    if isinstance(body, dict) and body.get("stream"):
        message = "stream is set; answers come whole here, and as they are made from `url`"
        raise RequestFailed(400, "invalid_value", message)
    try:
        return json.dumps(body).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise RequestFailed(400, "invalid_json", f"the body is no JSON: {error}") from error


def failed(status: int, body: Any) -> RequestFailed:
    """The error that an answer with such a status is."""
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict):
        error = {}
    return RequestFailed(status, error.get("code"), error.get("message") or f"status {status}")


def is_healthy(port: int) -> bool:
    """Whether a server at this port of this machine has loaded its model."""
    try:
        status, _, _ = Call().send("127.0.0.1", port, "/health", None)
    except (OSError, http.client.HTTPException):
        return False
    return status == 200
