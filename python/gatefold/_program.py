"""Where the program is, and how its flags are written."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Sequence

from ._errors import ProgramFailed


def find_program(program: str | os.PathLike[str] | None = None) -> str:
    """The program: the one that is named, that of the variable `GATEFOLD_PROGRAM`, the one that was
    installed with this package, or else the one on the path."""
    named = program or os.environ.get("GATEFOLD_PROGRAM")
    if named:
        return os.fspath(named)
    beside = Path(sys.executable).parent
    found = shutil.which("gatefold", path=str(beside)) or shutil.which("gatefold")
    if found is None:
        raise ProgramFailed(
            "there is no program gatefold on the path or beside Python; install it, or name it by "
            "the variable GATEFOLD_PROGRAM"
        )
    return found


def engine_flags(
    model: str | os.PathLike[str] | None,
    threads: int | None,
    context: int | None,
    parallel: int | None,
    args: Sequence[str],
) -> list[str]:
    """The flags that all commands with many requests have; without a model, it is the demo model."""
    flags: list[str] = []
    if model is not None:
        flags += ["--model", os.fspath(model)]
    for name, value in [("--threads", threads), ("--ctx-size", context), ("--parallel", parallel)]:
        if value is not None:
            flags += [name, str(value)]
    return [*flags, *args]
