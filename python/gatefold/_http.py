"""Requests to a server on this machine."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from typing import Any, Mapping

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
        self, host: str, port: int, path: str, body: Mapping[str, Any] | None
    ) -> tuple[int, Mapping[str, str], Any]:
        """Sends it, and waits for the answer however long that takes: its status, head and body.

        `OSError` and `http.client.HTTPException` say that the server is gone.
        """
        connection = http.client.HTTPConnection(host, port)
        try:
            connection.connect()
            with self._lock:
                self._socket = connection.sock
                if self.is_given_up:
                    raise ConnectionAbortedError("the request was given up")
            if body is None:
                connection.request("GET", path)
            else:
                head = {"Content-Type": "application/json"}
                connection.request("POST", path, json.dumps(body).encode(), head)
            response = connection.getresponse()
            text = response.read()
            head = {name.lower(): value for name, value in response.getheaders()}
            return response.status, head, json.loads(text) if text else None
        finally:
            with self._lock:
                self._socket = None
            connection.close()


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
    except (OSError, http.client.HTTPException, ValueError):
        return False
    return status == 200
