"""A server's process: one of our own, or one that all processes of this machine share."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import secrets
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
from ._program import end, guarded, kill

_LISTENING = re.compile(r"^listening at http://[^/;]*:(\d+)", re.MULTILINE)
_READY = re.compile(r"^ready: ", re.MULTILINE)


class Process(Protocol):
    """A server that runs; `start` is called under the lock of its owner, and not after `stop`."""

    #: Where it listens on this machine.
    port: int
    #: Another one once it was started again.
    pid: int
    #: What clients must show; that of a shared one is known once it was started.
    key: str | None

    def start(self) -> None:
        """Starts it, or again after it has ended, and waits until the model is loaded; raises
        `ServerFailed`."""

    def stop(self) -> None:
        """Ends it as far as it is ours, by force if it does not end by itself."""

    def has_ended(self, pid: int, within: float = 0.0) -> bool:
        """Whether the one that has run as `pid` has ended, or does so in some seconds."""

    def last_words(self) -> str:
        """The last line that it has said on stderr, to end a sentence with."""


class OwnProcess:
    """A server that ends with this process, however that ends; it keeps its port."""

    def __init__(self, command: Sequence[str], timeout: float) -> None:
        self.port = self.pid = 0
        self.key = _key(command)
        self._command = command
        self._timeout = timeout
        self._process: subprocess.Popen[str] | None = None
        self._said: deque[str] = deque(maxlen=20)

    def start(self) -> None:
        self.stop()
        with _complete(self._command, self.port, self.key) as command:
            process, self.pid = _spawn(command, subprocess.PIPE, subprocess.PIPE)
            self._process = process
            ready = threading.Event()
            listener = threading.Thread(target=self._listen, args=(process, ready), daemon=True)
            listener.start()
            is_ready = ready.wait(self._timeout) and process.poll() is None
        if not is_ready:
            self.stop()
            listener.join(1.0)
            raise ServerFailed(f"the server does not start{self.last_words()}")

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            end(process)

    def has_ended(self, pid: int, within: float = 0.0) -> bool:
        process = self._process
        if process is None or self.pid != pid:
            return True
        try:
            process.wait(within)
        except subprocess.TimeoutExpired:
            return False
        return True

    def last_words(self) -> str:
        return f": {self._said[-1]}" if self._said else ""

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
        self.key = _key(command)
        self._command = command
        self._timeout = timeout
        self._folder = _folder(_name(command, model))
        self._held: int | None = None

    def start(self) -> None:
        pipe = self._folder / "held"
        with self._alone():
            if not pipe.exists():
                os.mkfifo(pipe, 0o600)
            if self._held is None:
                self._held = os.open(pipe, os.O_RDWR)
            self._join_or_begin()

    def stop(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            os.close(held)

    def has_ended(self, pid: int, within: float = 0.0) -> bool:
        deadline = time.monotonic() + within
        while self.pid == pid and _runs(pid):
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.02)
        return True

    def last_words(self) -> str:
        said = self._log().rstrip().rpartition("\n")[2]
        return f": {said}" if said else ""

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """One process at a time looks whether there is a server, and starts one."""
        with open(self._folder / "lock", "w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _join_or_begin(self) -> None:
        address = self._folder / "address"
        with contextlib.suppress(OSError, ValueError):
            pid, port, key = json.loads(address.read_text())
            if _runs(pid) and is_healthy(port):
                self.pid, self.port, self.key = pid, port, key
                return
        try:
            self._begin()
        except ServerFailed:
            self.stop()
            raise
        new = address.with_suffix(".new")
        new.touch(0o600)
        new.write_text(json.dumps([self.pid, self.port, self.key]))
        new.replace(address)

    def _begin(self) -> None:
        folder = self._folder
        with contextlib.ExitStack() as open_files:
            command = open_files.enter_context(_complete(self._command, 0, self.key))
            held = open_files.enter_context(open(folder / "held", "rb", 0))
            said = open_files.enter_context(open(folder / "log", "wb"))
            process, self.pid = _spawn(command, held, said)
            # It may outlive us; if not, the system is told that it may forget it.
            threading.Thread(target=process.wait, daemon=True).start()
            deadline = time.monotonic() + self._timeout
            while process.poll() is None and time.monotonic() < deadline:
                text = self._log()
                address = _LISTENING.search(text)
                if address and _READY.search(text):
                    self.port = int(address[1])
                    return
                time.sleep(0.02)
        kill(process)
        raise ServerFailed(f"the server does not start{self.last_words()}")

    def _log(self) -> str:
        return (self._folder / "log").read_text(encoding="utf-8", errors="replace")


@contextlib.contextmanager
def _complete(command: Sequence[str], port: int, key: str | None) -> Iterator[list[str]]:
    """A command with the flags that it needs besides its own, for as long as the server starts."""
    flags = {"--host": "127.0.0.1", "--port": str(port), "--grace": "1"}
    # Other users of the machine see flags. The file is read once, when the server starts.
    with tempfile.NamedTemporaryFile("w", prefix="gatefold-") as file:
        if key is not None:
            flags["--api-key-file"] = file.name
            file.write(f"{key}\n")
            file.flush()
        more = (flag for flag in flags.items() if not _has(command, flag[0]))
        yield [*command, *(word for flag in more for word in flag)]


def _spawn(
    command: Sequence[str], stdin: int | IO[bytes], stderr: int | IO[bytes]
) -> tuple[subprocess.Popen[str], int]:
    try:
        process = subprocess.Popen(
            guarded(command, is_silent=True),
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


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def _has(flags: Sequence[str], flag: str) -> bool:
    return any(word == flag or word.startswith(f"{flag}=") for word in flags)


def _key(flags: Sequence[str]) -> str | None:
    """The key by which a server with these flags may be asked; made up where they name none."""
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
