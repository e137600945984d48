"""A server of one's own."""

from __future__ import annotations

import asyncio
import http.client
import os
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Callable, Iterable, Mapping, Sequence, Union

from ._answer import Answer
from ._errors import GatefoldError, RequestFailed, ServerFailed
from ._http import Call, failed, is_healthy, serialized
from ._process import OwnProcess, Process, SharedProcess
from ._program import GRACE, engine_flags, find_program

#: A question, or a conversation as OpenAI's API has it.
Messages = Union[str, Sequence[Mapping[str, Any]]]

#: Times that a request is sent again to a server that runs and breaks the connection.
_MOST_BROKEN = 2

#: Requests that are asked at the same time; more wait here and not in the server.
MOST_CALLS = 256


class Server:
    """`gatefold serve` on a free port of this machine, for as long as this is open.

    It ends with this process, however that ends. One that dies is started again, at the same address,
    up to `restarts` times between two answers, and what it was asked is asked again: the answers are the
    same. It answers those alone who show its `api_key`. Give `threads` where others use the machine too.
    Can be shared by threads. For Unix.
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
        command = [find_program(program), "serve", *flags]
        self._process: Process = (
            SharedProcess(command, None if model is None else os.fspath(model), start_timeout)
            if shared
            else OwnProcess(command, start_timeout)
        )
        self._n_restarts = self._n_restarts_left = restarts
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

    @property
    def api_key(self) -> str | None:
        """What other clients must show: made up, unless `args` have `--api-key-file` or `--no-api-key`;
        of a server that is shared, once it was started."""
        return self._process.key

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

        def answer(call: Call, body: Mapping[str, Any]) -> Answer | GatefoldError:
            try:
                return _answer(self.post(path, body, call))
            except GatefoldError as error:
                return error

        self.start()
        calls = ((Call(), body) for body in bodies)
        asked = [(call, self._calls.submit(answer, call, body)) for call, body in calls]
        try:
            return [future.result() for _, future in asked]
        except BaseException:
            # Ctrl-C: Python would wait for the threads.
            for call, future in asked:
                future.cancel()
                call.give_up()
            raise

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
        return self._send(path, serialized(body), call or Call())

    def get(self, path: str) -> Mapping[str, Any]:
        """What the server has at a path, likewise."""
        return self._send(path, None, Call())

    def _send(self, path: str, body: bytes | None, call: Call) -> Mapping[str, Any]:
        self.start()
        n_broken = 0
        while True:
            pid, port, key = self._alive()
            try:
                status, head, answer = call.send("127.0.0.1", port, path, body, key)
            except (OSError, http.client.HTTPException) as error:
                if call.is_given_up:
                    raise
                why: Exception = error
            else:
                if status == 200 and isinstance(answer, dict):
                    self._n_restarts_left = self._n_restarts
                    return answer
                why = failed(status, answer)
                if status != 503:
                    raise why
                if "retry-after" in head:
                    time.sleep(min(float(head["retry-after"]), 5.0))
                    continue
            # A server that is being stopped says so, or breaks the connection, and then ends.
            n_broken += 1
            has_ended = self._process.has_ended(pid, GRACE)
            if n_broken > (self._n_restarts if has_ended else _MOST_BROKEN):
                if isinstance(why, RequestFailed):
                    raise why
                raise ServerFailed(f"the server does not answer ({why})") from why

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
            return _answer(await asyncio.wrap_future(future))
        except asyncio.CancelledError:
            call.give_up()
            raise

    def _alive(self) -> tuple[int, int, str | None]:
        """Process, port and key of the server, which is started again where it has ended: its port may be
        another's."""
        with self._lock:
            process = self._process
            if not self._is_running:
                raise ServerFailed("the server was stopped")
            if process.has_ended(process.pid):
                if self._n_restarts_left <= 0:
                    raise ServerFailed(f"the server is gone{process.last_words()}")
                self._n_restarts_left -= 1
                process.start()
            return process.pid, process.port, process.key


def _chat(messages: Messages, params: Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    return {"messages": list(messages), **params}


def _answer(body: Mapping[str, Any]) -> Answer:
    """The answer in a body; what has none, as that of another path, is an error like others."""
    try:
        return Answer.of(body)
    except (LookupError, TypeError) as error:
        raise RequestFailed(200, None, f"there is no answer in what was sent: {error!r}") from error
