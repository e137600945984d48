"""A server's process: one of our own, or one that all processes of this machine share."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import socket
import stat
import subprocess
import tempfile
import threading
import time
from collections import deque
from pathlib import Path
from typing import IO, Iterator, Protocol, Sequence

from ._errors import ServerFailed
from ._http import is_healthy

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

_LISTENING = re.compile(r"^listening at http://[^/;]*:(\d+)", re.MULTILINE)
_READY = re.compile(r"^ready: ", re.MULTILINE)


class Process(Protocol):
    """A server that runs; all but `port` and `pid` are called under the lock of its owner."""

    #: Where it listens on this machine.
    port: int
    #: Another one once it was started again.
    pid: int

    def start(self) -> None:
        """Starts it, and waits until the model is loaded; raises `ServerFailed`."""

    def restart(self) -> None:
        """The same after it has died."""

    def stop(self) -> None:
        """Ends it as far as it is ours."""

    def last_words(self) -> str:
        """The last line that it has said on stderr."""


class OwnProcess:
    """A server that ends with this process, however that ends; it keeps its port."""

    def __init__(self, command: Sequence[str], timeout: float) -> None:
        self.port = self.pid = 0
        self._command = command
        self._timeout = timeout
        self._process: subprocess.Popen[str] | None = None
        self._said: deque[str] = deque(maxlen=20)

    def start(self) -> None:
        process, self.pid = _spawn(self._command, self.port, subprocess.PIPE, subprocess.PIPE)
        self._process = process
        ready = threading.Event()
        listener = threading.Thread(target=self._listen, args=(process, ready), daemon=True)
        listener.start()
        if not ready.wait(self._timeout) or process.poll() is not None:
            self.stop()
            listener.join(1.0)
            raise ServerFailed(f"the server does not start: {self.last_words()}")

    def restart(self) -> None:
        self.stop()
        self.start()

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        with contextlib.suppress(OSError):  # Nobody reads it any more.
            process.stdin.close()
        process.wait()

    def last_words(self) -> str:
        return self._said[-1] if self._said else ""

    def _listen(self, process: subprocess.Popen[str], ready: threading.Event) -> None:
        """Hears what the server says, up to its end."""
        assert process.stderr is not None
        for line in process.stderr:
            self._said.append(line.rstrip())
            address = _LISTENING.match(line)
            if address:
                self.port = int(address[1])
            if _READY.match(line):
                ready.set()
        process.wait()
        process.stderr.close()
        ready.set()


class SharedProcess:
    """A server that all processes of this user on this machine share which ask for the same.

    Who comes first starts it. It ends when the last one has, however that ends: each holds a pipe open
    for writing, which the server's guard reads to its end.
    """

    def __init__(self, command: Sequence[str], model: str | None, timeout: float) -> None:
        self.port = self.pid = 0
        self._command = command
        self._timeout = timeout
        self._folder = _folder(_name(command, model))
        self._held: int | None = None

    def start(self) -> None:
        pipe = self._folder / "held"
        with self._alone():
            if not pipe.exists():
                os.mkfifo(pipe, 0o600)
            self._held = os.open(pipe, os.O_RDWR)
            self._join_or_begin()

    def restart(self) -> None:
        with self._alone():
            self._join_or_begin()

    def stop(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            os.close(held)

    def last_words(self) -> str:
        return self._log().rstrip().rpartition("\n")[2]

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """One process at a time looks whether there is a server, and starts one."""
        with open(self._folder / "lock", "w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _join_or_begin(self) -> None:
        address = self._folder / "address"
        with contextlib.suppress(OSError, ValueError):
            self.pid, self.port = json.loads(address.read_text())
            os.kill(self.pid, 0)
            if is_healthy(self.port):
                return
        try:
            self._begin()
        except ServerFailed:
            self.stop()
            raise
        new = address.with_suffix(".new")
        new.write_text(json.dumps([self.pid, self.port]))
        new.replace(address)

    def _begin(self) -> None:
        folder = self._folder
        with open(folder / "held", "rb", 0) as held, open(folder / "log", "wb") as said:
            process, self.pid = _spawn(self._command, 0, held, said)
        # It may outlive us; if not, the system is told that it may forget it.
        threading.Thread(target=process.wait, daemon=True).start()
        end = time.monotonic() + self._timeout
        while True:
            is_over = process.poll() is not None or time.monotonic() > end
            text = self._log()
            address = _LISTENING.search(text)
            if address and _READY.search(text):
                self.port = int(address[1])
                return
            if is_over:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.pid, 15)
                raise ServerFailed(f"the server does not start: {self.last_words()}")
            time.sleep(0.02)

    def _log(self) -> str:
        return (self._folder / "log").read_text(encoding="utf-8", errors="replace")


def _spawn(
    command: Sequence[str], port: int, stdin: int | IO[bytes], stderr: int | IO[bytes]
) -> tuple[subprocess.Popen[str], int]:
    try:
        process = subprocess.Popen(
            ["/bin/sh", "-c", _GUARD, "gatefold", *command, "--port", str(port)],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            errors="replace",
            # Ctrl-C is Python's; the server ends with it.
            start_new_session=True,
        )
    except OSError as error:
        raise ServerFailed(f"the server cannot be started: {error}") from error
    assert process.stdout is not None
    with process.stdout as stdout:
        return process, int(stdout.readline())


def _name(command: Sequence[str], model: str | None) -> str:
    """Stands for all that makes servers differ: flags, the files' versions, the environment. Machines
    may have the folder of temporary files in common."""
    versions = []
    for file in (command[0], model or ""):
        with contextlib.suppress(OSError):
            is_at = os.stat(file)
            versions.append((is_at.st_dev, is_at.st_ino, is_at.st_size, is_at.st_mtime_ns))
    environment = sorted(it for it in os.environ.items() if it[0].startswith("GATEFOLD_"))
    told = json.dumps([socket.gethostname(), list(command), versions, environment])
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def _folder(name: str) -> Path:
    """A folder of this user alone."""
    ours = Path(tempfile.gettempdir(), f"gatefold-{os.getuid()}")
    ours.mkdir(mode=0o700, exist_ok=True)
    found = ours.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise ServerFailed(f"{ours} is not a folder of this user alone; remove it, or set TMPDIR")
    folder = ours / name
    folder.mkdir(exist_ok=True)
    return folder
