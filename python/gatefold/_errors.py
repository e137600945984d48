"""What can go wrong."""

from __future__ import annotations


class GatefoldError(Exception):
    """Anything that goes wrong here."""


class ProgramFailed(GatefoldError):
    """The program cannot be found or run, or says why it has failed."""


class ServerFailed(GatefoldError):
    """The server does not start, or dies again and again."""


class RequestFailed(GatefoldError):
    """The server refuses a request, or fails to answer it."""

    def __init__(self, status: int, code: str | None, message: str) -> None:
        super().__init__(message)
        #: HTTP's status.
        self.status = status
        #: OpenAI's or Gatefold's word for it.
        self.code = code
