"""Answers that outlive the run that has asked for them."""

from __future__ import annotations

import json
import os
import socket
import threading
import uuid
from pathlib import Path
from typing import Any


class Kept:
    """Answers by key, in a folder that many processes and machines may share.

    Each writes a file of its own, a line as soon as there is an answer, and reads those of earlier runs
    when it begins. A line that was torn is passed over. Lines outlive processes; they are not flushed
    to the disk one by one.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._folder = Path(folder)
        self._folder.mkdir(parents=True, exist_ok=True)
        # Answers stay on the disk; of each there is the file and where it begins there.
        self._files = sorted(self._folder.glob("*.jsonl"))
        self._places: dict[bytes, tuple[int, int]] = {}
        for n, path in enumerate(self._files):
            self._index(n, path)
        self._lock = threading.Lock()
        self._own: int | None = None

    def get(self, key: bytes) -> dict[str, Any] | None:
        """What was kept by an earlier run."""
        place = self._places.get(key)
        if place is None:
            return None
        with open(self._files[place[0]], "rb") as file:
            file.seek(place[1])
            row: dict[str, Any] = json.loads(file.readline())["row"]
        return row

    def put(self, key: bytes, row: dict[str, Any]) -> None:
        """Keeps an answer."""
        line = json.dumps({"key": key.hex(), "row": row}).encode() + b"\n"
        with self._lock:
            if self._own is None:
                name = f"{socket.gethostname()}-{uuid.uuid4().hex}.jsonl"
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
                self._own = os.open(self._folder / name, flags, 0o666)
            while line:
                line = line[os.write(self._own, line) :]

    def _index(self, n: int, path: Path) -> None:
        begin = 0
        with open(path, "rb") as file:
            for line in file:
                try:
                    kept = json.loads(line)
                    if line.endswith(b"\n") and isinstance(kept["row"], dict):
                        self._places[bytes.fromhex(kept["key"])] = (n, begin)
                except (ValueError, KeyError, TypeError):
                    pass  # Torn.
                begin += len(line)
