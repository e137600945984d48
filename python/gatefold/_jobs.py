"""Work that the program does in a run of its own: batches and summaries."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import tempfile
from contextlib import contextmanager
from typing import IO, Any, Iterable, Iterator, Mapping, Sequence, Union

from ._errors import ProgramFailed
from ._program import GRACE, end, engine_flags, find_program, guarded, kill

#: A path.
Path = Union[str, "os.PathLike[str]"]

#: Texts by their names, or files and folders.
Texts = Union[Mapping[str, str], Path, Sequence[Path]]

#: How the seal begins with which the results of a shard end.
_SEAL_START = '{"gatefold_shard":'

#: Codes of runs whose lines say all: some of them, with 2, why there is no answer.
_DONE = (0, 2)


def batch(
    requests: Iterable[Mapping[str, Any]],
    *,
    output: Path | None = None,
    model: Path | None = None,
    threads: int | None = None,
    context: int | None = None,
    parallel: int | None = None,
    args: Sequence[str] = (),
    program: Path | None = None,
) -> list[dict[str, Any]]:
    """Answers requests in OpenAI's batch format, and returns the lines of answers, as they come.

    With an `output`, the answers are kept in this file, and a run that was killed goes on there. What is
    wrong with a request is in its line.
    """
    flags = engine_flags(model, threads, context, parallel, args)
    return _run(_Job.batch(requests, flags, output, program))


def summarize(
    texts: Texts,
    *,
    output: Path | None = None,
    instruction: str | None = None,
    language: str | None = None,
    length: str | None = None,
    model: Path | None = None,
    threads: int | None = None,
    context: int | None = None,
    parallel: int | None = None,
    args: Sequence[str] = (),
    program: Path | None = None,
) -> list[dict[str, Any]]:
    """Summarizes texts by their names, or files and folders, and returns a line for each, as they come:
    with its `summary`, or the `error` that says why there is none.

    With an `output`, the summaries are kept in this file, and a run that was killed goes on there.
    """
    flags = engine_flags(model, threads, context, parallel, args)
    flags += _wishes(instruction, language, length)
    job = _Job.summarize(texts, flags, output, program)
    return _run(job) if job else []


async def abatch(
    requests: Iterable[Mapping[str, Any]],
    *,
    output: Path | None = None,
    model: Path | None = None,
    threads: int | None = None,
    context: int | None = None,
    parallel: int | None = None,
    args: Sequence[str] = (),
    program: Path | None = None,
) -> list[dict[str, Any]]:
    """As `batch`. When the task is cancelled, the run ends; what is finished is in the `output`."""
    flags = engine_flags(model, threads, context, parallel, args)
    return await _arun(_Job.batch(requests, flags, output, program))


async def asummarize(
    texts: Texts,
    *,
    output: Path | None = None,
    instruction: str | None = None,
    language: str | None = None,
    length: str | None = None,
    model: Path | None = None,
    threads: int | None = None,
    context: int | None = None,
    parallel: int | None = None,
    args: Sequence[str] = (),
    program: Path | None = None,
) -> list[dict[str, Any]]:
    """As `summarize`, likewise."""
    flags = engine_flags(model, threads, context, parallel, args)
    flags += _wishes(instruction, language, length)
    job = _Job.summarize(texts, flags, output, program)
    return await _arun(job) if job else []


def _wishes(instruction: str | None, language: str | None, length: str | None) -> list[str]:
    wishes = [("--instruction", instruction), ("--language", language), ("--length", length)]
    return [f"{flag}={value}" for flag, value in wishes if value is not None]


class _Job:
    """A run of the program: its command, what it reads, and where its results go."""

    def __init__(
        self, command: list[str], stdin: str, output: Path | None, program: Path | None
    ) -> None:
        self._command = [find_program(program), *command]
        if output is not None:
            self._command[2:2] = [f"--output={os.fspath(output)}"]
        self._stdin = stdin
        self._output = output

    @classmethod
    def batch(
        cls,
        requests: Iterable[Mapping[str, Any]],
        flags: list[str],
        output: Path | None,
        program: Path | None,
    ) -> _Job:
        if isinstance(requests, (str, bytes, os.PathLike, Mapping)):
            kind = type(requests).__name__
            raise TypeError(f"requests are a {kind}; expected a list of requests, each a dictionary")
        lines = "".join(json.dumps(request) + "\n" for request in requests)
        return cls(["batch", "-", *flags], lines, output, program)

    @classmethod
    def summarize(
        cls, texts: Texts, flags: list[str], output: Path | None, program: Path | None
    ) -> _Job | None:
        """None where there are no texts: the program would wait for one on stdin."""
        if isinstance(texts, Mapping):
            rows = ({"id": name, "text": text} for name, text in texts.items())
            lines = "".join(json.dumps(row) + "\n" for row in rows)
            command = ["summarize", *flags, "--jsonl", "--", "-"]
            return cls(command, lines, output, program) if lines else None
        alone = [texts] if isinstance(texts, (str, os.PathLike)) else texts
        paths = [os.fspath(path) for path in alone]
        return cls(["summarize", *flags, "--", *paths], "", output, program) if paths else None

    @contextmanager
    def files(self) -> Iterator[tuple[list[str], IO[bytes], IO[bytes]]]:
        """The command that runs it as long as its stdin is open, and files for its stdout and stderr."""
        with tempfile.NamedTemporaryFile(prefix="gatefold-") as stdin:
            stdin.write(self._stdin.encode())
            stdin.flush()
            command = guarded(self._command, stdin.name, is_silent=False)
            with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
                yield command, stdout, stderr

    def rows(self, code: int | None, stdout: IO[bytes], stderr: IO[bytes]) -> list[dict[str, Any]]:
        """What a run that has ended with this code leaves."""
        if code not in _DONE:
            stderr.seek(0)
            said = stderr.read().decode(errors="replace").strip().splitlines()
            errors = [line[len("error: ") :] for line in said if line.startswith("error: ")]
            why = errors or said[-1:] or [f"it ended with code {code}"]
            raise ProgramFailed(why[0])
        if self._output is None:
            stdout.seek(0)
            text = stdout.read().decode()
        else:
            with open(self._output, encoding="utf-8") as file:
                text = file.read()
        lines = (line for line in text.split("\n") if line and not line.startswith(_SEAL_START))
        return [json.loads(line) for line in lines]


def _run(job: _Job) -> list[dict[str, Any]]:
    with job.files() as (command, stdout, stderr):
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=stdout, stderr=stderr, start_new_session=True
        )
        try:
            process.wait()
        finally:
            end(process)
        return job.rows(process.returncode, stdout, stderr)


async def _arun(job: _Job) -> list[dict[str, Any]]:
    with job.files() as (command, stdout, stderr):
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
        assert process.stdin is not None
        try:
            await process.wait()
        finally:
            process.stdin.close()
            try:
                await asyncio.wait_for(process.wait(), GRACE + 2)
            except asyncio.TimeoutError:
                kill(process)
                await process.wait()
        return job.rows(process.returncode, stdout, stderr)
