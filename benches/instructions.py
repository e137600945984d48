"""Counts the instructions of the main kernels, and their cycles on CPUs that are not at hand, on
Linux on x86-64.

    cargo build --release --example product
    python3 benches/instructions.py                 counts, beside what is recorded
    python3 benches/instructions.py --record        and records the counts

Times are noisy, counts are not: a kernel that has grown shows at once. The program is run step by
step (ptrace), since callgrind knows no AVX-512; where both can count, they agree. Counts depend on
the compiler, so record them anew with each.

Cycles are static: llvm-mca (Debian's package llvm) says how many a CPU takes for each stretch of
instructions that ran as one, if all data is in the first-level cache. They leave out jumps, and are
the sum over stretches times how often each ran. The port named is the busiest one in that sum, with
the share of the cycles in which it works.
"""

import argparse
import collections
import ctypes
import os
import pathlib
import re
import shutil
import signal
import subprocess

FORMATS = "Q4_0 Q8_0 Q4_K Q5_K Q6_K IQ3_S IQ3_XXS IQ2_S IQ2_XS IQ2_XXS IQ1_M".split()
ISAS = ["avx2", "avx512", "amx"]
TOKENS = [1, 8, 32]
# llvm-mca's names of CPUs, for the instruction sets that they have.
CPUS = {"avx2": ["znver3", "skylake"], "avx512": [], "amx": []}
MULTIPLY_ADDS = 32 * 4096
RECORDED = pathlib.Path(__file__).with_name("instructions.tsv")

TRACE_ME, PEEK_USER, SINGLE_STEP, NEXT_SYSCALL, KILL = 0, 3, 9, 24, 8
ORIG_RAX, RIP = 15 * 8, 16 * 8
GETPPID = 110

ptrace = ctypes.CDLL(None, use_errno=True).ptrace
ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
ptrace.restype = ctypes.c_long


def stopped_by(child):
    """The signal that the child has stopped with; None if it has ended."""
    _, status = os.waitpid(child, 0)
    return os.WSTOPSIG(status) if os.WIFSTOPPED(status) else None


def trace(program, arguments):
    """How often each address runs from the first getppid to the first signal, as offsets in the
    program's file; None if the program ends before."""
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
    name = str(pathlib.Path(program).resolve())
    maps = pathlib.Path(f"/proc/{child}/maps").read_text().splitlines()
    base = min(int(line.split("-")[0], 16) for line in maps if line.endswith(name))
    runs = collections.Counter()
    while True:
        address = ptrace(PEEK_USER, child, RIP, None) - base
        ptrace(SINGLE_STEP, child, None, None)
        if stopped_by(child) != signal.SIGTRAP:
            break
        runs[address] += 1
    ptrace(KILL, child, None, None)
    os.waitpid(child, 0)
    return runs


def disassembly(program):
    """The program's instructions by address, as llvm-mca takes them; None for jumps and calls."""
    command = ["objdump", "-d", "--no-show-raw-insn", "-M", "intel", program]
    listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    instructions = {}
    for address, text in re.findall(r"^ *([0-9a-f]+):\t(.*)$", listing, re.MULTILINE):
        text = re.sub(r" *[#<].*", "", text).strip()
        is_jump = re.match(r"(bnd |notrack )?(j|call|ret|syscall)", text)
        instructions[int(address, 16)] = None if is_jump else text
    return instructions


def stretches(runs, instructions):
    """Instructions that follow each other and run equally often, with how often."""
    addresses = sorted(instructions)
    stretch, n_runs = [], 0
    for address in addresses:
        if runs.get(address, 0) != n_runs:
            if n_runs and stretch:
                yield stretch, n_runs
            stretch, n_runs = [], runs.get(address, 0)
        if n_runs and instructions[address]:
            stretch.append(instructions[address])
    if n_runs and stretch:
        yield stretch, n_runs


def static_cycles(runs, instructions, cpu):
    """Cycles on a CPU, the busiest of its ports, and the port's share of the cycles."""
    all_instructions = sum(runs.values())
    cycles, ports = 0, collections.Counter()
    for stretch, n_runs in stretches(runs, instructions):
        # What runs once in a while changes nothing.
        if len(stretch) * n_runs < all_instructions / 500:
            continue
        command = ["llvm-mca", f"-mcpu={cpu}", "-x86-asm-syntax=intel", "-iterations=100"]
        result = subprocess.run(command, input="\n".join(stretch), capture_output=True, text=True)
        if result.returncode:
            raise SystemExit(result.stderr)
        cycles += n_runs * int(re.search(r"Total Cycles: +(\d+)", result.stdout)[1]) / 100
        units = re.findall(r"^(\[[\d.]+\] +- \w+)", result.stdout, re.MULTILINE)
        pressure = result.stdout.split("Resource pressure per iteration:")[1].splitlines()[2]
        for unit, busy in zip(units, pressure.split(), strict=True):
            ports[unit] += n_runs * (0 if busy == "-" else float(busy))
    unit, busy = ports.most_common(1)[0]
    return round(cycles), unit.split()[-1], busy / cycles


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", default="target/release/examples/product")
    parser.add_argument("--record", action="store_true", help=f"write {RECORDED.name}")
    options = parser.parse_args()
    recorded = {}
    if RECORDED.exists():
        for line in RECORDED.read_text().splitlines()[1:]:
            name, isa, n_tokens, n_instructions, *_ = line.split("\t")
            recorded[name, isa, n_tokens] = int(n_instructions)
    if shutil.which("llvm-mca") is None:
        CPUS.clear()
    instructions = disassembly(options.program) if CPUS else {}
    lines = []
    print("| format | isa | tokens | instructions | per 1,000 multiply-adds | change | cycles |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name in FORMATS:
        for isa in ISAS:
            for n_tokens in TOKENS:
                kernel = (name, isa, str(n_tokens))
                runs = trace(options.program, kernel)
                if runs is None:
                    continue
                n = sum(runs.values())
                rate = 1000 * n / (MULTIPLY_ADDS * n_tokens)
                before = recorded.get(kernel)
                change = f"{n / before - 1:+.1%}" if before else ""
                cycles = []
                for cpu in CPUS.get(isa, []):
                    n_cycles, port, share = static_cycles(runs, instructions, cpu)
                    cycles.append(f"{cpu} {n_cycles} ({port} {share:.0%})")
                cycles = ", ".join(cycles)
                lines.append("\t".join([*kernel, str(n), cycles]))
                row = [*kernel, f"{n:,}", f"{rate:.1f}", change, cycles]
                print("| " + " | ".join(row) + " |", flush=True)
    if options.record:
        version = subprocess.run(["rustc", "--version"], capture_output=True, text=True, check=True)
        counts = f"instructions ({version.stdout.strip()})"
        head = "\t".join(["format", "isa", "tokens", counts, "static cycles (busiest port)"])
        RECORDED.write_text("\n".join([head, *lines]) + "\n")


if __name__ == "__main__":
    main()
