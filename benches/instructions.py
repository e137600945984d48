"""Counts the instructions of the main kernels, on Linux on x86-64.

    cargo build --release --example product
    python3 benches/instructions.py                 counts, beside what is recorded
    python3 benches/instructions.py --record        and records the counts

Times are noisy, counts are not: a kernel that has grown shows at once. The program is run step by
step (ptrace), since callgrind knows no AVX-512; where both can count, they agree. Counts depend on
the compiler, so record them anew with each.
"""

import argparse
import ctypes
import os
import pathlib
import signal
import subprocess

FORMATS = ["Q4_0", "Q8_0", "Q4_K", "Q5_K", "Q6_K"]
ISAS = ["avx2", "avx512", "amx"]
TOKENS = [1, 8, 32]
MULTIPLY_ADDS = 32 * 4096
RECORDED = pathlib.Path(__file__).with_name("instructions.tsv")

TRACE_ME, PEEK_USER, SINGLE_STEP, NEXT_SYSCALL, KILL = 0, 3, 9, 24, 8
ORIG_RAX = 15 * 8
GETPPID = 110

ptrace = ctypes.CDLL(None, use_errno=True).ptrace
ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
ptrace.restype = ctypes.c_long


def stopped_by(child):
    """The signal that the child has stopped with; None if it has ended."""
    _, status = os.waitpid(child, 0)
    return os.WSTOPSIG(status) if os.WIFSTOPPED(status) else None


def count(program, arguments):
    """Instructions from the first getppid to the first signal; None if the program ends before."""
    child = os.fork()
    if child == 0:
        ptrace(TRACE_ME, 0, None, None)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        os.execv(program, [str(program), *arguments])
    if stopped_by(child) is None:
        return None
    while True:
        ptrace(NEXT_SYSCALL, child, None, None)
        if stopped_by(child) is None:
            return None
        if ptrace(PEEK_USER, child, ORIG_RAX, None) == GETPPID:
            break
    n_instructions = 0
    while True:
        ptrace(SINGLE_STEP, child, None, None)
        if stopped_by(child) != signal.SIGTRAP:
            break
        n_instructions += 1
    ptrace(KILL, child, None, None)
    os.waitpid(child, 0)
    return n_instructions


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", default="target/release/examples/product")
    parser.add_argument("--record", action="store_true", help=f"write {RECORDED.name}")
    options = parser.parse_args()
    recorded = {}
    if RECORDED.exists():
        for line in RECORDED.read_text().splitlines()[1:]:
            *kernel, n_instructions = line.split("\t")
            recorded[tuple(kernel)] = int(n_instructions)
    counted = {}
    print("| format | instruction set | tokens | instructions | per 1,000 multiply-adds | change |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name in FORMATS:
        for isa in ISAS:
            for n_tokens in TOKENS:
                kernel = (name, isa, str(n_tokens))
                n = count(options.program, kernel)
                if n is None:
                    continue
                counted[kernel] = n
                rate = 1000 * n / (MULTIPLY_ADDS * n_tokens)
                before = recorded.get(kernel)
                change = f"{n / before - 1:+.1%}" if before else ""
                print(f"| {name} | {isa} | {n_tokens} | {n:,} | {rate:.1f} | {change} |", flush=True)
    if options.record:
        version = subprocess.run(["rustc", "--version"], capture_output=True, text=True, check=True)
        lines = [f"format\tisa\ttokens\tinstructions ({version.stdout.strip()})"]
        lines += ["\t".join([*kernel, str(n)]) for kernel, n in counted.items()]
        RECORDED.write_text("\n".join(lines) + "\n")


main()
