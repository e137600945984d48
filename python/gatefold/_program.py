"""Where the program is, how its flags are written, and how a run of it ends with Python."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Sequence

from ._errors import ProgramFailed

# Starts the program, and ends it when stdin is closed: whatever becomes of Python, the system does that.
# A limit on the life of the thread that started it (PR_SET_PDEATHSIG) would end it with a thread of a
# pool. The first argument is the program's stdin; the second says where its stdout goes, and where that
# is stderr, stdout says its process id.
_GUARD = """
in=$1 out=$2 grace=$3
shift 3
exec 3<&0
"$@" <"$in" >&"$out" 3<&- &
child=$!
[ "$out" = 2 ] && echo $child
{ cat <&3; kill -TERM $child; sleep "$grace"; kill -KILL $child; } >/dev/null 2>&1 &
guard=$!
exec 3<&- >/dev/null
wait $child
status=$?
kill $guard 2>/dev/null
exit $status
"""

#: Seconds that a program may take to end by itself.
GRACE = 5


def guarded(command: Sequence[str], stdin: str = os.devnull, *, is_silent: bool) -> list[str]:
    """A command that runs another for as long as its own stdin is open. The other reads the file `stdin`;
    if it `is_silent`, stdout is for its process id."""
    out = "2" if is_silent else "1"
    return ["/bin/sh", "-c", _GUARD, "gatefold", stdin, out, str(GRACE), *command]


def kill(process: Any) -> None:
    """Kills a guarded command that leads a session of its own, with all that it has started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass  # It has ended.


def end(process: subprocess.Popen[Any]) -> None:
    """Ends such a command, by force if it does not end by itself."""
    assert process.stdin is not None
    try:
        process.stdin.close()
    except OSError:
        pass  # Nobody reads it any more.
    try:
        process.wait(GRACE + 2)
    except subprocess.TimeoutExpired:
        kill(process)
        process.wait()


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
