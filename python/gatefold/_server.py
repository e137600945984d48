"""A server of one's own."""

from __future__ import annotations

import asyncio
import http.client
import os
import re
import secrets
import subprocess
import tempfile
import threading
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Callable, Iterable, Mapping, Sequence, TypeVar, Union

from ._answer import Answer
from ._errors import GatefoldError, RequestFailed, ServerFailed
from ._http import Call, failed, serialized
from ._program import GRACE, end, engine_flags, find_program, guarded

#: A question, or a conversation as OpenAI's API has it.
Messages = Union[str, Sequence[Mapping[str, Any]]]

T = TypeVar("T")

#: Times that a request is sent again to a server that runs and breaks the connection.
_MOST_BROKEN = 2

#: Requests that are asked at the same time; more wait here and not in the server.
_MOST_CALLS = 256


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
    ) -> None:
        """`model` is a GGUF file, or the demo model if there is none; `args` are more flags of
        `gatefold serve`; loading may take `start_timeout` seconds."""
        self._program = find_program(program)
        self._flags = engine_flags(model, threads, context, parallel, args)
        self._start_timeout = start_timeout
        self._n_restarts = self._n_restarts_left = restarts
        #: What other clients must show: made up, unless `args` have `--api-key-file` or `--no-api-key`.
        self.api_key = _key_in(self._flags)
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
            end(process)
        self._calls.shutdown(wait=False)

    @property
    def url(self) -> str:
        """The base URL for clients of OpenAI's API."""
        return f"http://127.0.0.1:{self._port}/v1"

    def is_healthy(self) -> bool:
        """Whether it runs and has loaded its model."""
        try:
            status, _, _ = Call().send("127.0.0.1", self._port, "/health", None)
        except (OSError, http.client.HTTPException):
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
        text = serialized(body)
        call = call or Call()
        self.start()
        n_broken = 0
        while True:
            process = self._alive()
            try:
                status, head, answer = call.send(
                    "127.0.0.1", self._port, path, text, self.api_key
                )
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
            if n_broken > (self._n_restarts if _has_ended(process) else _MOST_BROKEN):
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

    def _alive(self) -> subprocess.Popen[str]:
        """The server's process, which is started again where it has ended: its port may be another's."""
        with self._lock:
            process = self._process
            if process is None:
                raise ServerFailed("the server was stopped")
            if process.poll() is not None:
                if self._n_restarts_left <= 0:
                    raise ServerFailed(f"the server is gone{self._last_words()}")
                self._n_restarts_left -= 1
                end(process)
                process = self._begin()
            return process

    def _begin(self) -> subprocess.Popen[str]:
        flags = list(self._flags)
        for flag, value in [("--host", "127.0.0.1"), ("--port", str(self._port)), ("--grace", "1")]:
            if not _has(self._flags, flag):
                flags += [flag, value]
        if _has(self._flags, "--api-key-file") or _has(self._flags, "--no-api-key"):
            return self._launch(flags)
        # Other users of the machine see flags. The file is read once, when the server starts.
        with tempfile.NamedTemporaryFile("w", prefix="gatefold-") as file:
            file.write(f"{self.api_key}\n")
            file.flush()
            return self._launch([*flags, "--api-key-file", file.name])

    def _launch(self, flags: list[str]) -> subprocess.Popen[str]:
        try:
            process = subprocess.Popen(
                guarded([self._program, "serve", *flags], is_silent=True),
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
            end(process)
            listener.join(1.0)
            raise ServerFailed(f"the server does not start{self._last_words()}")
        self._process = process
        return process

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

    def _last_words(self) -> str:
        return f": {self._said[-1]}" if self._said else ""


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


def _has_ended(process: subprocess.Popen[str]) -> bool:
    """Whether it ends now: one that was told to has some seconds."""
    try:
        process.wait(GRACE)
    except subprocess.TimeoutExpired:
        return False
    return True


def _has(flags: Sequence[str], flag: str) -> bool:
    return any(word == flag or word.startswith(f"{flag}=") for word in flags)


def _key_in(flags: Sequence[str]) -> str | None:
    """The key by which a server with these flags may be asked."""
    if _has(flags, "--no-api-key"):
        return None
    if not _has(flags, "--api-key-file"):
        return secrets.token_urlsafe(32)
    words = [*flags, ""]
    named = [words[i + 1] for i, word in enumerate(flags) if word == "--api-key-file"]
    named += [word.split("=", 1)[1] for word in flags if word.startswith("--api-key-file=")]
    try:
        with open(named[0], encoding="utf-8") as file:
            return next((line.strip() for line in file if line.strip()), None)
    except OSError:
        return None  # The server says so.
