"""Ray Data against the demo model, as the other tests; skipped where there is no Ray."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path
from typing import Any, Callable, Iterable

import gatefold

try:
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    import pyarrow as pa  # type: ignore[import-untyped]
    import ray
    import ray.data

    import gatefold.ray
except ImportError:
    raise unittest.SkipTest("there is no Ray")

PROMPT = "The weather in Padstow"
ASKED = [{"id": f"row-{n}", "prompt": f"{PROMPT} {n}"} for n in range(48)]
SETTINGS: dict[str, Any] = {"threads": 1, "key": "id", "max_tokens": 200, "temperature": 1.0}


class Noted(gatefold.ray.Completions):
    """Leaves a note of its process and its server's."""

    def __init__(self, notes: str, **settings: Any) -> None:
        super().__init__(**settings)
        Path(notes, str(os.getpid())).write_text(str(self._server.pid))


def hash_of(rows: Iterable[dict[str, Any]]) -> str:
    """Of all answers with their receipts."""
    told = sorted((row["id"], row["answer"], row["seed"], row["logits_hash"]) for row in rows)
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def lines_in(folder: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in folder.glob("*.jsonl"))


def wait_for(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not is_so():
        if time.monotonic() > end:
            raise AssertionError("it does not come")
        time.sleep(0.01)


def answered(kept: Path, notes: Path, n_actors: int) -> list[dict[str, Any]]:
    notes.mkdir(exist_ok=True)
    rows = ray.data.from_items(ASKED, override_num_blocks=8).map_batches(
        Noted,
        fn_constructor_kwargs={"notes": str(notes), "kept": str(kept), **SETTINGS},
        compute=ray.data.ActorPoolStrategy(size=n_actors),
        batch_size=6,
    )
    return list(rows.take_all())


def blocks(of: Any, rows: list[dict[str, Any]], **settings: Any) -> list[dict[str, Any]]:
    data = ray.data.from_items(rows, override_num_blocks=2)
    pool = ray.data.ActorPoolStrategy(size=1)
    done = data.map_batches(of, fn_constructor_kwargs={"threads": 1, **settings}, compute=pool)
    return list(done.take_all())


class Rows(unittest.TestCase):
    expected: str
    temporary: tempfile.TemporaryDirectory[str]

    @classmethod
    def setUpClass(cls) -> None:
        ray.init(num_cpus=5, include_dashboard=False, log_to_driver=False)
        ray.data.DataContext.get_current().enable_progress_bars = False
        cls.temporary = tempfile.TemporaryDirectory()
        body = {name: SETTINGS[name] for name in ("max_tokens", "temperature")}
        # What the program answers to these requests, with the seeds that rows get from their names.
        seeds = [
            int(hashlib.sha256(json.dumps([row["id"]]).encode()).hexdigest(), 16) % 2**53
            for row in ASKED
        ]
        answers = gatefold.batch(
            {
                "custom_id": row["id"],
                "method": "POST",
                "url": "/v1/completions",
                "body": {"prompt": row["prompt"], "seed": seed, **body},
            }
            for row, seed in zip(ASKED, seeds)
        )
        choices = [(it["custom_id"], it["response"]["body"]["choices"][0]) for it in answers]
        told = ({"id": name, "answer": it["text"], **it["receipt"]} for name, it in choices)
        cls.expected = hash_of(told)

    @classmethod
    def tearDownClass(cls) -> None:
        ray.shutdown()
        cls.temporary.cleanup()

    def folder(self) -> Path:
        return Path(tempfile.mkdtemp(dir=self.temporary.name))

    def test_actors_share_a_server_and_answer_as_the_program_does(self) -> None:
        for n_actors in (2, 4):
            folder = self.folder()
            rows = answered(folder / "kept", folder / "notes", n_actors)
            self.assertEqual(hash_of(rows), self.expected)
            notes = [note.read_text() for note in (folder / "notes").iterdir()]
            self.assertEqual((len(notes), len(set(notes))), (n_actors, 1))
            wait_for(lambda: not Path("/proc", notes[0]).exists())

    def test_whatever_is_killed_the_answers_are_the_same(self) -> None:
        for which in ("server", "actor"):
            folder = self.folder()
            kept, notes = folder / "kept", folder / "notes"

            def kill() -> None:
                wait_for(lambda: lines_in(kept) >= 8)
                note = next(notes.iterdir())
                os.kill(int(note.read_text() if which == "server" else note.name), signal.SIGKILL)

            killer = threading.Thread(target=kill)
            killer.start()
            rows = answered(kept, notes, 2)
            killer.join()
            self.assertEqual(hash_of(rows), self.expected)
            # An actor in the place of the one that died is one more.
            self.assertEqual(len(list(notes.iterdir())), 2 if which == "server" else 3)

    def test_a_run_that_was_killed_goes_on(self) -> None:
        folder = self.folder()
        kept, notes = folder / "kept", folder / "notes"
        script = (
            "import ray, sys; from pathlib import Path; from tests import test_ray\n"
            "ray.init(num_cpus=3, include_dashboard=False, address='local')\n"
            "test_ray.answered(Path(sys.argv[1]), Path(sys.argv[2]), 2)\n"
        )
        command = [sys.executable, "-c", script, str(kept), str(notes)]
        driver = subprocess.Popen(
            command, cwd=Path(__file__).parents[1], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_for(lambda: lines_in(kept) >= 8)
        driver.kill()
        driver.wait()
        servers = {note.read_text() for note in notes.iterdir()}
        wait_for(lambda: not any(Path("/proc", pid).exists() for pid in servers))
        n_before = lines_in(kept)
        self.assertLess(n_before, len(ASKED))
        # A line that was torn is asked for again.
        path = max(kept.glob("*.jsonl"), key=lambda path: path.stat().st_size)
        path.write_bytes(path.read_bytes()[:-30])
        rows = answered(kept, notes, 4)
        self.assertEqual(hash_of(rows), self.expected)
        self.assertEqual(lines_in(kept), len(ASKED))

    def test_a_row_at_fault_harms_no_other(self) -> None:
        asked: list[dict[str, Any]] = [
            {"prompt": PROMPT},
            {"prompt": None},
            {"prompt": "word " * 2000},
            {"prompt": PROMPT},
        ]
        rows = blocks(gatefold.ray.Completions, asked, max_tokens=4)
        good, null, long, same = rows
        self.assertIn("null", null["error"])
        self.assertIn("context", long["error"])
        self.assertIsNone(good["error"])
        self.assertEqual(good, same)
        self.assertEqual((len(good["key"]), good["finish_reason"]), (32, "length"))
        self.assertIsNone(long["answer"])
        refused = blocks(gatefold.ray.Completions, asked[:1], temperature=9)
        self.assertIn("temperature", refused[0]["error"])

    def test_columns_have_the_same_types_in_every_block_and_format(self) -> None:
        ask = gatefold.ray.Completions(threads=1, max_tokens=2)
        fine = ask(pa.table({"prompt": [PROMPT]}))
        wrong = ask(pa.table({"prompt": pa.array([None], pa.string())}))
        self.assertEqual(fine.schema, wrong.schema)
        for batch in (fine.to_pandas(), {"prompt": fine["prompt"].to_numpy()}):
            self.assertEqual(ask(batch)["logits_hash"], fine["logits_hash"])
        self.assertEqual(ask(fine), fine)

    def test_a_question_and_a_conversation(self) -> None:
        question = "What happened?"
        turn = {"role": "user", "content": question}
        asked = [{"messages": question}]
        (short,) = blocks(gatefold.ray.Chat, asked, max_tokens=6, seed=3)
        (long,) = blocks(gatefold.ray.Chat, [{"messages": [turn]}], max_tokens=6, seed=3)
        self.assertEqual(short["logits_hash"], long["logits_hash"])
        self.assertEqual(short["seed"], 3)
        # Of two conversations, one has a field that the other has not.
        table = pa.table({"messages": [[turn], [turn, {**turn, "role": "assistant", "tool_calls": []}]]})
        ask = gatefold.ray.Chat(threads=1, max_tokens=6, seed=3)
        for form in ("pyarrow", "numpy", "pandas"):
            (batch,) = ray.data.from_arrow(table).iter_batches(batch_format=form, batch_size=None)
            self.assertEqual(ask(batch)["logits_hash"][0].as_py(), short["logits_hash"], form)
        with gatefold.Server(threads=1) as server:
            self.assertEqual(server.chat(question, max_tokens=6, seed=3).text, short["answer"])

    def test_summaries_are_those_of_the_program(self) -> None:
        demo = Path(__file__).parents[2] / "demo" / "documents"
        texts = {path.name: path.read_text() for path in sorted(demo.glob("*.txt"))}
        expected = {row["id"]: row["summary"] for row in gatefold.summarize(texts, threads=1)}
        # Much too long, and nothing.
        texts |= {"long": "\n\n".join([*texts.values()] * 3), "none": " "}
        asked = [{"id": name, "text": text} for name, text in texts.items()]
        rows = {row["id"]: row for row in blocks(gatefold.ray.Summaries, asked, key="id")}
        self.assertIn("no text", rows.pop("none")["error"])
        long = rows.pop("long")
        self.assertEqual({name: row["summary"] for name, row in rows.items()}, expected)
        self.assertTrue(long["summary"] and long["logits_hash"])
        self.assertGreater(long["prompt_tokens"], 1024)

    def test_a_model_that_is_not_there_fails_the_run(self) -> None:
        with self.assertRaises(gatefold.ServerFailed):
            gatefold.ray.Chat("/no/such/model.gguf", threads=1)


if __name__ == "__main__":
    unittest.main()
