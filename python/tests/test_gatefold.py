"""The package against the demo model: `GATEFOLD_PROGRAM=../target/debug/gatefold python3 -m unittest`
in the folder `python`."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.request
from pathlib import Path

import gatefold

PROMPT = "The weather in Padstow"


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


def wait_until_dead(pid: int) -> None:
    end = time.monotonic() + 20
    while is_alive(pid):
        if time.monotonic() > end:
            raise AssertionError(f"{pid} still runs")
        time.sleep(0.05)


class Served(unittest.TestCase):
    """Tests with one server, but for those that end it."""

    server: gatefold.Server

    @classmethod
    def setUpClass(cls) -> None:
        cls.server = gatefold.Server(threads=1).start()

    @classmethod
    def tearDownClass(cls) -> None:
        pid = cls.server.pid
        cls.server.stop()
        wait_until_dead(pid)

    def test_the_same_question_has_the_same_answer(self) -> None:
        a = self.server.complete(PROMPT, max_tokens=12, seed=5, temperature=1.0)
        b = self.server.complete(PROMPT, max_tokens=12, seed=5, temperature=1.0)
        self.assertEqual((a.text, a.seed, a.logits_hash), (b.text, 5, b.logits_hash))
        self.assertEqual(len(a.logits_hash), 16)
        self.assertEqual(a.completion_tokens, 12)
        self.assertTrue(a.text and a.prompt_tokens)

    def test_a_question_is_a_conversation_of_one_turn(self) -> None:
        short = self.server.chat("What happened?", max_tokens=6, temperature=0)
        messages = [{"role": "user", "content": "What happened?"}]
        long = self.server.chat(messages, max_tokens=6, temperature=0)
        self.assertEqual(short.text, long.text)
        self.assertIn(short.finish_reason, ("stop", "length"))

    def test_refusals_say_why(self) -> None:
        with self.assertRaises(gatefold.RequestFailed) as caught:
            self.server.complete(PROMPT, temperature=9)
        self.assertEqual(caught.exception.status, 400)
        self.assertIn("temperature", str(caught.exception))

    def test_a_bad_row_harms_no_other(self) -> None:
        bodies: list[dict[str, object]] = [
            {"prompt": f"{PROMPT} {n}", "max_tokens": 4, "seed": n} for n in range(20)
        ]
        bad = {7: {"temperature": 9}, 8: {"stream": True}, 9: {"stop": {"no", "JSON"}}}
        for n, fields in bad.items():
            bodies[n].update(fields)
        answers = self.server.batch(bodies, "/v1/completions")
        for n, answer in enumerate(answers):
            if n in bad:
                self.assertIsInstance(answer, gatefold.RequestFailed)
            else:
                assert isinstance(answer, gatefold.Answer)
                self.assertEqual(answer.seed, n)
        again = asyncio.run(self.server.abatch(bodies, "/v1/completions"))
        hashes = [getattr(answer, "logits_hash", None) for answer in answers]
        self.assertEqual([getattr(answer, "logits_hash", None) for answer in again], hashes)

    def test_it_answers_those_alone_who_have_its_key(self) -> None:
        with self.assertRaises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(f"{self.server.url}/models")
        self.assertEqual(caught.exception.code, 401)
        caught.exception.close()
        head = {"Authorization": f"Bearer {self.server.api_key}"}
        asked = urllib.request.Request(f"{self.server.url}/models", headers=head)
        with urllib.request.urlopen(asked) as answer:
            self.assertEqual(answer.status, 200)

    def test_many_are_asked_at_the_same_time(self) -> None:
        async def ask() -> list[gatefold.Answer]:
            asked = (self.server.acomplete(PROMPT, max_tokens=3, seed=n) for n in range(40))
            return list(await asyncio.gather(*asked))

        answers = asyncio.run(ask())
        self.assertEqual([answer.seed for answer in answers], list(range(40)))

    def test_a_task_that_is_cancelled_frees_its_place(self) -> None:
        async def ask() -> None:
            asked = self.server.acomplete(PROMPT, n=64, max_tokens=300, regex="[ab]{1000}")
            task = asyncio.create_task(asked)
            await asyncio.sleep(0.3)
            task.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await task

        asyncio.run(ask())
        self.assertTrue(self.server.is_healthy())
        self.server.complete(PROMPT, max_tokens=1)


class Ended(unittest.TestCase):
    """Tests in which servers end."""

    def test_one_that_is_killed_is_started_again(self) -> None:
        with gatefold.Server(threads=1) as server:
            before = server.complete(PROMPT, max_tokens=100, seed=1)
            (pid, url), answers = (server.pid, server.url), []

            def ask() -> None:
                answers.append(server.complete(PROMPT, max_tokens=100, seed=1))

            threads = [threading.Thread(target=ask) for _ in range(4)]
            for thread in threads:
                thread.start()
            time.sleep(0.05)
            os.kill(pid, signal.SIGKILL)
            for thread in threads:
                thread.join()
            self.assertEqual([it.logits_hash for it in answers], [before.logits_hash] * 4)
            os.kill(server.pid, signal.SIGKILL)
            wait_until_dead(server.pid)
            self.assertEqual(server.complete(PROMPT, max_tokens=100, seed=1).text, before.text)
            self.assertNotEqual(server.pid, pid)
            self.assertEqual(server.url, url)
            pid = server.pid
        wait_until_dead(pid)
        with self.assertRaises(gatefold.GatefoldError):
            server.complete(PROMPT)

    def test_one_that_is_told_to_end_loses_no_answer(self) -> None:
        with gatefold.Server(threads=1) as server:
            answers: list[gatefold.Answer] = []

            def ask() -> None:
                answers.append(server.complete(PROMPT, n=64, max_tokens=60, seed=1))

            pid, thread = server.pid, threading.Thread(target=ask)
            thread.start()
            time.sleep(0.2)
            os.kill(pid, signal.SIGTERM)
            thread.join()
            self.assertEqual([it.seed for it in answers], [1])

    def test_one_that_hangs_is_ended(self) -> None:
        server = gatefold.Server(threads=1).start()
        os.kill(server.pid, signal.SIGSTOP)
        start = time.monotonic()
        server.stop()
        self.assertLess(time.monotonic() - start, 15)
        wait_until_dead(server.pid)

    def test_one_that_dies_too_often_is_given_up(self) -> None:
        with gatefold.Server(threads=1, restarts=0) as server:
            os.kill(server.pid, signal.SIGKILL)
            wait_until_dead(server.pid)
            self.assertFalse(server.is_healthy())
            with self.assertRaises(gatefold.ServerFailed):
                server.complete(PROMPT, max_tokens=1)

    def test_one_that_does_not_start_says_why(self) -> None:
        with self.assertRaises(gatefold.ServerFailed) as caught:
            gatefold.Server("/no/such/model.gguf").start()
        self.assertIn("/no/such/model.gguf", str(caught.exception))
        with self.assertRaises(gatefold.GatefoldError):
            gatefold.Server(program="/no/such/program").start()

    def test_it_ends_with_python_however_that_ends(self) -> None:
        script = "import gatefold, sys, time; s = gatefold.Server(threads=1).start()\n"
        script += "print(s.pid, flush=True); time.sleep(60)"
        command = [sys.executable, "-c", script]
        folder = Path(__file__).parents[1]
        python = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=folder)
        assert python.stdout is not None
        pid = int(python.stdout.readline())
        self.assertTrue(is_alive(pid))
        python.kill()
        python.wait()
        python.stdout.close()
        wait_until_dead(pid)

    def test_one_that_is_shared_ends_with_the_last_that_has_it(self) -> None:
        script = "import gatefold, time; s = gatefold.Server(threads=1, shared=True).start()\n"
        script += "print(s.pid, flush=True); time.sleep(60)"
        command = [sys.executable, "-c", script]
        folder = Path(__file__).parents[1]
        first = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=folder)
        assert first.stdout is not None
        pid = int(first.stdout.readline())
        second = gatefold.Server(threads=1, shared=True).start()
        # Who has started it may go.
        first.kill()
        first.wait()
        first.stdout.close()
        before = second.complete(PROMPT, max_tokens=4, seed=1)
        self.assertEqual(second.pid, pid)
        with gatefold.Server(threads=1, context=512, shared=True) as other:
            self.assertNotEqual(other.pid, pid)
            self.assertNotEqual(other.api_key, second.api_key)
        wait_until_dead(other.pid)
        os.kill(pid, signal.SIGKILL)
        wait_until_dead(pid)
        self.assertEqual(second.complete(PROMPT, max_tokens=4, seed=1).text, before.text)
        third = gatefold.Server(threads=1, shared=True).start()
        self.assertEqual(third.api_key, second.api_key)
        self.assertEqual(third.get("/v1/models")["object"], "list")
        second.stop()
        self.assertEqual(third.complete(PROMPT, max_tokens=4, seed=1).text, before.text)
        pid = third.pid
        third.stop()
        wait_until_dead(pid)


class Jobs(unittest.TestCase):
    """Runs of the program."""

    def test_requests_are_answered_as_by_the_program(self) -> None:
        body = {"prompt": PROMPT, "max_tokens": 5}
        request = {"custom_id": "a", "method": "POST", "url": "/v1/completions", "body": body}
        wrong = {**request, "custom_id": "b", "body": {**body, "temperature": 9}}
        rows = gatefold.batch([request, wrong], threads=1)
        statuses = {row["custom_id"]: row["response"]["status_code"] for row in rows}
        self.assertEqual(statuses, {"a": 200, "b": 400})
        with tempfile.TemporaryDirectory() as folder:
            output = Path(folder, "out.jsonl")
            kept = gatefold.batch([request, wrong], threads=1, output=output)
            before = output.read_bytes()
            again = asyncio.run(gatefold.abatch([request, wrong], threads=1, output=output))
            self.assertEqual((kept, output.read_bytes()), (again, before))

    def test_the_seal_of_a_shard_is_no_row(self) -> None:
        body = {"prompt": PROMPT, "max_tokens": 2}
        request = {"custom_id": "a", "method": "POST", "url": "/v1/completions", "body": body}
        with tempfile.TemporaryDirectory() as folder:
            output = Path(folder, "out.jsonl")
            rows = gatefold.batch([request], threads=1, output=output, args=["--shard=0/1"])
            self.assertIn("gatefold_shard", output.read_text())
        self.assertEqual([row["custom_id"] for row in rows], ["a"])

    def test_a_run_ends_with_its_task_and_with_python(self) -> None:
        body = {"prompt": PROMPT, "n": 64, "max_tokens": 300, "regex": "[ab]{1000}"}
        request = {"custom_id": "a", "method": "POST", "url": "/v1/completions", "body": body}

        def runs_with(mark: str) -> list[int]:
            pids = (int(path.name) for path in Path("/proc").glob("[0-9]*"))
            found = []
            for pid in pids:
                try:
                    words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                except OSError:
                    continue
                if mark.encode() in words and b"batch" == words[1]:
                    found.append(pid)
            return found

        def wait_for_run(mark: str) -> int:
            end = time.monotonic() + 20
            while not (found := runs_with(mark)):
                self.assertLess(time.monotonic(), end)
                time.sleep(0.05)
            return found[0]

        async def cancel(output: Path) -> None:
            task = asyncio.create_task(gatefold.abatch([request], threads=1, output=output))
            pid = await asyncio.to_thread(wait_for_run, f"--output={output}")
            task.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await task
            self.assertFalse(is_alive(pid))

        with tempfile.TemporaryDirectory() as folder:
            asyncio.run(cancel(Path(folder, "a.jsonl")))
            output = Path(folder, "b.jsonl")
            script = f"import gatefold; gatefold.batch([{request!r}], threads=1, output={str(output)!r})"
            command = [sys.executable, "-c", script]
            python = subprocess.Popen(command, cwd=Path(__file__).parents[1])
            pid = wait_for_run(f"--output={output}")
            python.kill()
            python.wait()
            wait_until_dead(pid)

    def test_texts_and_files_are_summarized(self) -> None:
        demo = Path(__file__).parents[2] / "demo" / "documents"
        text = (demo / "match-1.txt").read_text()
        rows = gatefold.summarize({"match": text, "nothing": ""}, threads=1)
        by_id = {row["id"]: row for row in rows}
        self.assertIn("error", by_id["nothing"])
        of_file = gatefold.summarize([demo / "match-1.txt"], threads=1)
        self.assertEqual(of_file[0]["summary"], by_id["match"]["summary"])
        self.assertEqual(len(gatefold.summarize(str(demo / "match-1.txt"), threads=1)), 1)
        self.assertEqual((gatefold.summarize([]), gatefold.summarize({})), ([], []))
        json.dumps(rows)

    def test_failures_say_why(self) -> None:
        with self.assertRaises(gatefold.ProgramFailed) as caught:
            gatefold.batch([], args=["--no-such-flag"])
        self.assertIn("no-such-flag", str(caught.exception))
        self.assertFalse(str(caught.exception).startswith("error"))
        with self.assertRaises(TypeError):
            gatefold.batch("requests.jsonl")  # type: ignore[arg-type]

    def test_questions_need_no_server_of_ones_own(self) -> None:
        a = gatefold.complete(PROMPT, max_tokens=4, seed=1)
        b = asyncio.run(gatefold.acomplete(PROMPT, max_tokens=4, seed=1))
        self.assertEqual(a.logits_hash, b.logits_hash)
        self.assertTrue(gatefold.chat("What happened?", max_tokens=4).completion_tokens)


if __name__ == "__main__":
    unittest.main()
