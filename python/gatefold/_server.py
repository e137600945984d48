"""A server of one's own."""

from __future__ import annotations

import asyncio
import http.client
import os
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Callable, Iterable, Mapping, Sequence, TypeVar, Union

from ._answer import Answer
from ._errors import GatefoldError, ServerFailed
from ._http import Call, failed, is_healthy
from ._process import OwnProcess, Process, SharedProcess
from ._program import engine_flags, find_program

#: A question, or a conversation as OpenAI's API has it.
Messages = Union[str, Sequence[Mapping[str, Any]]]

T = TypeVar("T")

#: Requests that are asked at the same time; more wait here and not in the server.
MOST_CALLS = 256


class Server:
    """`gatefold serve` on a free port of this machine, for as long as this is open.

    It ends with this process, however that ends. One that dies is started again, at the same address,
    up to `restarts` times, and what it was asked is asked again: the answers are the same. Give `threads` where
    others use the machine too. Can be shared by threads. For Unix.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        *,
        threads: int | None = None,
        context: int | None = None,
        parallel: int | None = None,
        args: Sequence[str] = (),
        program: str | os.PathLike[str] | None = None,
        start_timeout: float = 600.0,
        restarts: int = 3,
        shared: bool = False,
    ) -> None:
        """`model` is a GGUF file, or the demo model if there is none; `args` are more flags of
        `gatefold serve`; loading may take `start_timeout` seconds. One that is `shared` is that of all
        processes of this user on this machine that ask for the same; it ends with the last of them,
        and may come back at another address."""
        flags = engine_flags(model, threads, context, parallel, args)
        command = [find_program(program), "serve", "--grace", "1", *flags]
        self._process: Process = (
            SharedProcess(command, None if model is None else os.fspath(model), start_timeout)
            if shared
            else OwnProcess(command, start_timeout)
        )
        self._n_restarts_left = restarts
        self._lock = threading.Lock()
        self._is_running = False
        self._is_stopped = False
        self._calls = ThreadPoolExecutor(MOST_CALLS, thread_name_prefix="gatefold")

    def start(self) -> Server:
        """Starts it, if it does not run, and waits until the model is loaded."""
        with self._lock:
            if self._is_stopped:
                raise ServerFailed("the server was stopped; make another one")
            if not self._is_running:
                self._process.start()
                self._is_running = True
        return self

    def stop(self) -> None:
        """Ends it, and with it what it is being asked; one that is shared, if nobody else has it."""
        with self._lock:
            self._is_running = False
            self._is_stopped = True
            self._process.stop()
        self._calls.shutdown(wait=False)

    @property
    def url(self) -> str:
        """The base URL for clients of OpenAI's API."""
        return f"http://127.0.0.1:{self._process.port}/v1"

    @property
    def pid(self) -> int:
        """The server's process; another one once it was started again."""
        return self._process.pid

    def is_healthy(self) -> bool:
        """Whether it runs and has loaded its model."""
        return is_healthy(self._process.port)

    def complete(self, prompt: str, **params: Any) -> Answer:
        """Continues a text. `params` are those of `/v1/completions`: `max_tokens`, `temperature`,
        `seed`, `stop` ..."""
        return Answer.of(self.post("/v1/completions", {"prompt": prompt, **params}))

    def chat(self, messages: Messages, **params: Any) -> Answer:
        """Answers a question or a conversation. `params` are those of `/v1/chat/completions`."""
        return Answer.of(self.post("/v1/chat/completions", _chat(messages, params)))

    def batch(
        self, bodies: Iterable[Mapping[str, Any]], path: str = "/v1/chat/completions"
    ) -> list[Answer | GatefoldError]:
        """Answers many requests together, in their order; what is wrong with one is in its place."""

        def answer(body: Mapping[str, Any]) -> Answer | GatefoldError:
            try:
                return Answer.of(self.post(path, body))
            except GatefoldError as error:
                return error

        self.start()
        return list(self._calls.map(answer, bodies))

    async def acomplete(self, prompt: str, **params: Any) -> Answer:
        """As `complete`. When the task is cancelled, the server stops working on it."""
        body = {"prompt": prompt, **params}
        return await self._in_thread(lambda call: self.post("/v1/completions", body, call))

    async def achat(self, messages: Messages, **params: Any) -> Answer:
        """As `chat`, likewise."""
        body = _chat(messages, params)
        return await self._in_thread(lambda call: self.post("/v1/chat/completions", body, call))

    async def abatch(
        self, bodies: Iterable[Mapping[str, Any]], path: str = "/v1/chat/completions"
    ) -> list[Answer | GatefoldError]:
        """As `batch`, likewise."""

        async def answer(body: Mapping[str, Any]) -> Answer | GatefoldError:
            try:
                return await self._in_thread(lambda call: self.post(path, body, call))
            except GatefoldError as error:
                return error

        return list(await asyncio.gather(*map(answer, bodies)))

    def post(self, path: str, body: Mapping[str, Any], call: Call | None = None) -> Mapping[str, Any]:
        """Sends any request, and returns what the server answers.

        Waits where its queue is full; raises `RequestFailed` where it refuses, and `ServerFailed` where
        there is no server any more.
        """
        return self._send(path, body, call or Call())

    def get(self, path: str) -> Mapping[str, Any]:
        """What the server has at a path, likewise."""
        return self._send(path, None, Call())

    def _send(self, path: str, body: Mapping[str, Any] | None, call: Call) -> Mapping[str, Any]:
        self.start()
        while True:
            with self._lock:  # Not while it is being started again.
                pid, port = self._process.pid, self._process.port
            try:
                status, head, answer = call.send("127.0.0.1", port, path, body)
            except (OSError, http.client.HTTPException, ValueError) as error:
                if call.is_given_up:
                    raise
                self._revive(pid, error)
                continue
            if status == 200 and isinstance(answer, dict):
                return answer
            if status == 503 and "retry-after" in head:
                time.sleep(min(float(head["retry-after"]), 5.0))
                continue
            raise failed(status, answer)

    def __enter__(self) -> Server:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Server:
        return await asyncio.to_thread(self.start)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self.stop)

    async def _in_thread(self, post: Callable[[Call], Mapping[str, Any]]) -> Answer:
        call = Call()
        future: Future[Mapping[str, Any]] = self._calls.submit(post, call)
        try:
            return Answer.of(await asyncio.wrap_future(future))
        except asyncio.CancelledError:
            call.give_up()
            raise

    def _revive(self, pid: int, error: Exception) -> None:
        """Starts the server again, unless another thread has."""
        with self._lock:
            if self._is_running and self._process.pid != pid:
                return
            if not self._is_running or self._n_restarts_left <= 0:
                last = self._process.last_words()
                raise ServerFailed(f"the server is gone: {last or error}") from error
            self._n_restarts_left -= 1
            self._is_running = False
            self._process.restart()
            self._is_running = True


def _chat(messages: Messages, params: Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    return {"messages": list(messages), **params}
