"""Gatefold beside other programs, on the same file, taking turns: tokens per second, and ratios.

    cargo build --release
    python3 benches/peers.py model.gguf -p 512,2048 -n 32 -b 1,8,32 -d 4096 \\
        --python venv/bin/python \\
        --llama-bench 'ik=ik_llama.cpp/build/bin/llama-bench' \\
        --batched-bench 'ik=ik_llama.cpp/build/bin/llama-batched-bench -pps' \\
        --llama-bench 'ik, repacked=ik_llama.cpp/build/bin/llama-bench -rtr 1'

--python is a Python with llama-cpp-python, which runs llama.cpp with and without flash attention.
The others are named and given by the command of their bench program, with what arguments they need
besides those for the tests. In every round each program runs every test once. Prints a Markdown
table: medians, the share of the machine's ceiling that gatefold reaches, and for each other program
the median over the rounds of gatefold's speed over its speed. See benches/README.md.
"""

import argparse
import collections
import json
import pathlib
import shlex
import statistics
import subprocess
import sys

# Tokens that each of several sequences begins with, as in gatefold bench.
SHORT_PROMPT = 64


def numbers(text):
    """Positive numbers; zeros ask for nothing."""
    return [int(number) for number in text.split(",") if int(number) > 0]


def named_command(text):
    name, equals, command = text.partition("=")
    if not equals or not command:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=COMMAND")
    return name, shlex.split(command)


def output(command):
    """What a program prints: its results and its log."""
    result = subprocess.run(
        [str(part) for part in command], capture_output=True, encoding="utf-8", errors="replace"
    )
    if result.returncode != 0:
        raise SystemExit(f"failed: {shlex.join(map(str, command))}\n{result.stderr[-2000:]}")
    return result.stdout, result.stderr


def joined(values):
    return ",".join(map(str, values))


class Gatefold:
    """`gatefold bench`, a process per round."""

    def __init__(self, args):
        self.name = "gatefold"
        self.shares = collections.defaultdict(list)
        self.command = [args.gatefold, "bench", "-m", args.model, "-r", "1", "--json"]
        self.command += ["-p", joined(args.prompts) or 0, "-n", args.steps, "-b", joined(args.batches) or 0]
        self.command += ["-t", args.threads, "--ubatch-size", args.ubatch]
        if args.depths:
            self.command += ["-d", joined(args.depths)]

    def run(self):
        result = subprocess.run(
            [str(part) for part in self.command], stdout=subprocess.PIPE, text=True, check=True
        )
        tests = json.loads(result.stdout)
        for test in tests:
            self.shares[test["test"]].append(test["ceiling_share"])
        return {test["test"]: test["tokens_per_second"] for test in tests}


class LlamaCpp:
    """llama.cpp in a process of another Python, which stays, since repacking takes it minutes."""

    def __init__(self, args, flash_attention, process=None):
        self.name = f"llama.cpp, flash attention {'on' if flash_attention else 'off'}"
        most = max([*args.prompts, max(args.batches, default=1) * (SHORT_PROMPT + args.steps)])
        command = [args.python, pathlib.Path(__file__).with_name("peer_llama_cpp.py"), args.model]
        command += ["--threads", args.threads, "--ubatch", args.ubatch, "--tokens", most]
        command += ["--sequences", max(args.batches, default=1)]
        self.process = process or subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        one = {"n_steps": args.steps, "n_sequences": 1, "start": 0}
        self.tests = {f"pp{n}": {"n_prompt": n} for n in args.prompts}
        for n in args.batches if args.steps else []:
            several = {"n_sequences": n, "start": SHORT_PROMPT} if n > 1 else {}
            self.tests[decode_name(args.steps, n, 0)] = {**one, **several}
        for depth in args.depths if args.steps else []:
            self.tests[decode_name(args.steps, 1, depth)] = {**one, "depth": depth}
        for test in self.tests.values():
            test["flash_attention"] = flash_attention

    def run(self):
        return {name: self.ask(test) for name, test in self.tests.items()}

    def ask(self, test):
        self.process.stdin.write(json.dumps(test) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(f"{self.name} ended, for the reason above")
        return float(answer)


class LlamaBench:
    """A program with llama-bench's arguments: llama.cpp's, or ik_llama.cpp's."""

    def __init__(self, args, name, command):
        self.name = name
        common = [*command, "-m", args.model, "-t", args.threads, "-ub", args.ubatch]
        common += ["-r", "1", "-o", "json"]
        steps = args.steps if 1 in args.batches else 0
        self.commands = [[*common, "-p", joined(args.prompts) or 0, "-n", steps]]
        depths = args.depths if args.steps > 0 else []
        if "--n-depth" in "".join(output([*command, "--help"])):
            # Depths multiply with all other tests, so they are a run of their own.
            if depths:
                self.commands.append([*common, "-p", 0, "-n", args.steps, "-d", joined(depths)])
        else:
            for depth in depths:
                self.commands[0] += ["-gp", f"{depth},{args.steps}"]

    def run(self):
        return dict(test for command in self.commands for test in self.tests(command))

    def tests(self, command):
        text, _ = output(command)
        for test in json.loads(text[text.index("[") : text.rindex("]") + 1]):
            if test["n_gen"] == 0:
                yield f"pp{test['n_prompt']}", test["avg_ts"]
            else:
                # Behind a prompt that is not timed, or a depth.
                depth = test["n_prompt"] or test.get("n_depth", 0)
                yield decode_name(test["n_gen"], 1, depth), test["avg_ts"]


class BatchedBench:
    """A program with llama-batched-bench's arguments."""

    def __init__(self, args, name, command):
        self.name = name
        batches = [n for n in args.batches if n > 1]
        n_ctx = max(batches, default=1) * (SHORT_PROMPT + args.steps)
        self.command = [*command, "-m", args.model, "-t", args.threads, "-ub", args.ubatch]
        self.command += ["-c", n_ctx, "-npp", SHORT_PROMPT, "-ntg", args.steps]
        self.command += ["-npl", joined(batches)]

    def run(self):
        # | PP | TG | B | N_KV | T_PP s | S_PP t/s | T_TG s | S_TG t/s | T s | S t/s |
        # Some builds print it with their results, some with their log.
        lines = "\n".join(output(self.command)).splitlines()
        rows = (line.strip(" |").split("|") for line in lines)
        rows = [[cell.strip() for cell in row] for row in rows if len(row) == 10]
        rows = [row for row in rows if row[0].isdigit()]
        if not rows:
            raise SystemExit(f"no table of results: {shlex.join(map(str, self.command))}")
        return {decode_name(int(row[1]), int(row[2]), 0): float(row[7]) for row in rows}


def decode_name(n_steps, n_sequences, depth):
    sequences = f"@{n_sequences}" if n_sequences > 1 else ""
    return f"tg{n_steps}{sequences}" + (f"@d{depth}" if depth else "")


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("-p", dest="prompts", type=numbers, default=[512])
    parser.add_argument("-n", dest="steps", type=int, default=32)
    parser.add_argument("-b", dest="batches", type=numbers, default=[1])
    parser.add_argument("-d", dest="depths", type=numbers, default=[])
    parser.add_argument("-r", dest="rounds", type=int, default=5)
    parser.add_argument("-t", dest="threads", type=int, default=2)
    parser.add_argument("--ubatch", type=int, default=512, help="prompt tokens of a step")
    parser.add_argument("--gatefold", default="target/release/gatefold")
    parser.add_argument("--python", help="a Python with llama-cpp-python")
    for option in ("--llama-bench", "--batched-bench"):
        parser.add_argument(
            option, type=named_command, action="append", default=[], metavar="NAME=COMMAND"
        )
    return parser.parse_args()


def programs(args):
    found = [Gatefold(args)]
    if args.python:
        first = LlamaCpp(args, False)
        found += [first, LlamaCpp(args, True, first.process)]
    found += [LlamaBench(args, *named) for named in args.llama_bench]
    if any(n > 1 for n in args.batches):
        found += [BatchedBench(args, *named) for named in args.batched_bench]
    return found


def print_table(gatefold, speeds):
    """`speeds` has per program and test a speed per round."""
    peers = [name for name in speeds if name != gatefold.name]
    print("| test | gatefold | share of the ceiling |" + "".join(f" {p} | ratio |" for p in peers))
    print("| --- | ---: | ---: |" + " ---: | ---: |" * len(peers))
    for test, ours in speeds[gatefold.name].items():
        share = statistics.median(gatefold.shares[test])
        row = f"| {test} | {statistics.median(ours):.1f} | {share:.0%} |"
        for peer in peers:
            theirs = speeds[peer].get(test)
            if theirs is None:
                row += " | |"
                continue
            ratio = statistics.median(a / b for a, b in zip(ours, theirs))
            row += f" {statistics.median(theirs):.1f} | {ratio:.2f} |"
        print(row)


def main():
    args = arguments()
    all_programs = programs(args)
    speeds = {program.name: collections.defaultdict(list) for program in all_programs}
    for round_number in range(1, args.rounds + 1):
        for program in all_programs:
            print(f"round {round_number} of {args.rounds}: {program.name}", file=sys.stderr)
            for test, speed in program.run().items():
                speeds[program.name][test].append(speed)
    print_table(all_programs[0], speeds)


if __name__ == "__main__":
    main()
