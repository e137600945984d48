"""Work that the program does in a run of its own: batches and summaries."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from typing import Any, Iterable, Mapping, Sequence

from ._errors import ProgramFailed
from ._program import engine_flags, find_program


def batch(
    requests: Iterable[Mapping[str, Any]],
    *,
    output: str | os.PathLike[str] | None = None,
    model: str | os.PathLike[str] | None = None,
    threads: int | None = None,
    context: int | None = None,
    parallel: int | None = None,
    args: Sequence[str] = (),
    program: str | os.PathLike[str] | None = None,
) -> list[dict[str, Any]]:
    """Answers requests in OpenAI's batch format, and returns the lines of answers, as they come.

    With an `output`, the answers are kept in this file, and a run that was killed goes on there. What is
    wrong with a request is in its line.
    """
    flags = engine_flags(model, threads, context, parallel, args)
    lines = "".join(json.dumps(request) + "\n" for request in requests)
    return _run(["batch", "-", *flags], lines, output, program)


def summarize(
    texts: Mapping[str, str] | Sequence[str | os.PathLike[str]],
    *,
    output: str | os.PathLike[str] | None = None,
    instruction: str | None = None,
    language: str | None = None,
    length: str | None = None,
    model: str | os.PathLike[str] | None = None,
    threads: int | None = None,
    context: int | None = None,
    parallel: int | None = None,
    args: Sequence[str] = (),
    program: str | os.PathLike[str] | None = None,
) -> list[dict[str, Any]]:
    """Summarizes texts by their names, or files and folders, and returns a line for each, as they come:
    with its `summary`, or the `error` that says why there is none.

    With an `output`, the summaries are kept in this file, and a run that was killed goes on there.
    """
    flags = engine_flags(model, threads, context, parallel, args)
    wishes = [("--instruction", instruction), ("--language", language), ("--length", length)]
    flags += [f"{flag}={value}" for flag, value in wishes if value is not None]
    if isinstance(texts, Mapping):
        rows = ({"id": name, "text": text} for name, text in texts.items())
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        return _run(["summarize", *flags, "--jsonl", "--", "-"], lines, output, program)
    paths = [os.fspath(path) for path in texts]
    return _run(["summarize", *flags, "--", *paths], "", output, program)


async def abatch(requests: Iterable[Mapping[str, Any]], **options: Any) -> list[dict[str, Any]]:
    """As `batch`."""
    return await asyncio.to_thread(batch, requests, **options)


async def asummarize(
    texts: Mapping[str, str] | Sequence[str | os.PathLike[str]], **options: Any
) -> list[dict[str, Any]]:
    """As `summarize`."""
    return await asyncio.to_thread(summarize, texts, **options)


def _run(
    command: list[str],
    stdin: str,
    output: str | os.PathLike[str] | None,
    program: str | os.PathLike[str] | None,
) -> list[dict[str, Any]]:
    command = [find_program(program), command[0], "--ok-exit", *command[1:]]
    if output is not None:
        command[2:2] = [f"--output={os.fspath(output)}"]
    try:
        run = subprocess.run(command, input=stdin.encode(), capture_output=True, check=False)
    except OSError as error:
        raise ProgramFailed(f"{command[0]} cannot be run: {error}") from error
    if run.returncode != 0:
        said = run.stderr.decode(errors="replace").strip().splitlines()
        said = [line for line in said if line.startswith("error: ")] or said[-1:]
        raise ProgramFailed(said[0] if said else f"it ended with code {run.returncode}")
    if output is None:
        text = run.stdout.decode()
    else:
        with open(output, encoding="utf-8") as file:
            text = file.read()
    return [json.loads(line) for line in text.split("\n") if line]
