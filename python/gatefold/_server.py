"""A server of one's own."""

from __future__ import annotations

import asyncio
import http.client
import os
import re
import subprocess
import threading
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Callable, Iterable, Mapping, Sequence, TypeVar, Union

from ._answer import Answer
from ._errors import GatefoldError, ServerFailed
from ._http import Call, failed
from ._program import engine_flags, find_program

#: A question, or a conversation as OpenAI's API has it.
Messages = Union[str, Sequence[Mapping[str, Any]]]

T = TypeVar("T")

# Starts the server, says its process id, and ends it when stdin is closed: whatever becomes of Python,
# the system does that. A limit on the life of the thread that started it (PR_SET_PDEATHSIG) would end
# it with a thread of a pool.
_GUARD = """
exec 3<&0
"$@" </dev/null >&2 3<&- &
child=$!
echo $child
{ cat <&3; kill -TERM $child; } >/dev/null 2>&1 &
guard=$!
exec 3<&- >/dev/null
wait $child
status=$?
kill $guard 2>/dev/null
exit $status
"""

#: Requests that are asked at the same time; more wait here and not in the server.
_MOST_CALLS = 256


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
    ) -> None:
        """`model` is a GGUF file, or the demo model if there is none; `args` are more flags of
        `gatefold serve`; loading may take `start_timeout` seconds."""
        self._program = find_program(program)
        self._flags = engine_flags(model, threads, context, parallel, args)
        self._start_timeout = start_timeout
        self._n_restarts_left = restarts
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._is_stopped = False
        self._port = 0
        self._said: deque[str] = deque(maxlen=20)
        self._calls = ThreadPoolExecutor(_MOST_CALLS, thread_name_prefix="gatefold")
        #: The server's process; another one once it was started again.
        self.pid = 0

    def start(self) -> Server:
        """Starts it, if it does not run, and waits until the model is loaded."""
        with self._lock:
            if self._is_stopped:
                raise ServerFailed("the server was stopped; make another one")
            if self._process is None:
                self._begin()
        return self

    def stop(self) -> None:
        """Ends it, and with it what it is being asked."""
        with self._lock:
            process, self._process = self._process, None
            self._is_stopped = True
        if process is not None:
            self._end(process)
        self._calls.shutdown(wait=False)

    @property
    def url(self) -> str:
        """The base URL for clients of OpenAI's API."""
        return f"http://127.0.0.1:{self._port}/v1"

    def is_healthy(self) -> bool:
        """Whether it runs and has loaded its model."""
        try:
            status, _, _ = Call().send("127.0.0.1", self._port, "/health", None)
        except (OSError, http.client.HTTPException, ValueError):
            return False
        return status == 200

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
        call = call or Call()
        self.start()
        while True:
            process = self._process
            try:
                status, head, answer = call.send("127.0.0.1", self._port, path, body)
            except (OSError, http.client.HTTPException, ValueError) as error:
                if call.is_given_up:
                    raise
                self._revive(process, error)
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

    def _revive(self, process: subprocess.Popen[str] | None, error: Exception) -> None:
        """Starts the server again, unless another thread has."""
        with self._lock:
            if self._process is not process and self._process is not None:
                return
            if self._process is None or self._n_restarts_left <= 0:
                raise ServerFailed(f"the server is gone ({error}){self._last_words()}") from error
            self._n_restarts_left -= 1
            self._end(self._process)
            self._begin()

    def _begin(self) -> None:
        command = [self._program, "serve", "--port", str(self._port), "--grace", "1", *self._flags]
        try:
            process = subprocess.Popen(
                ["/bin/sh", "-c", _GUARD, "gatefold", *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                # Ctrl-C is Python's; the server ends with it.
                start_new_session=True,
            )
        except OSError as error:
            raise ServerFailed(f"the server cannot be started: {error}") from error
        assert process.stdout is not None
        self.pid = int(process.stdout.readline())
        process.stdout.close()
        ready = threading.Event()
        listener = threading.Thread(target=self._listen, args=(process, ready), daemon=True)
        listener.start()
        if not ready.wait(self._start_timeout) or process.poll() is not None:
            self._end(process)
            listener.join(1.0)
            raise ServerFailed(f"the server does not start{self._last_words()}")
        self._process = process

    def _listen(self, process: subprocess.Popen[str], ready: threading.Event) -> None:
        """Hears what the server says, up to its end."""
        assert process.stderr is not None
        for line in process.stderr:
            self._said.append(line.rstrip())
            address = re.match(r"listening at http://[^/;]*:(\d+)", line)
            if address:
                self._port = int(address[1])
            if line.startswith("ready: "):
                ready.set()
        process.wait()
        process.stderr.close()
        ready.set()

    @staticmethod
    def _end(process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        try:
            process.stdin.close()
        except OSError:
            pass  # Nobody reads it any more.
        process.wait()

    def _last_words(self) -> str:
        return f": {self._said[-1]}" if self._said else ""


def _chat(messages: Messages, params: Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    return {"messages": list(messages), **params}
