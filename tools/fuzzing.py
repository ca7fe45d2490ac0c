"""What the fuzzers share: damaged inputs are read in a process of their own, which may crash, hang or fill the memory.

Input `n` follows from the seed and `n` alone. A finding is written to a folder, and the next input goes to a fresh process.
"""

import argparse
import multiprocessing
import resource
import sys
import traceback
from collections import Counter
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil
from tqdm import tqdm

from telucodec.files.container import MARKER

FORK = multiprocessing.get_context("fork")
ADDRESSES = 8 << 30  # bytes of address space: to ask for more is a MemoryError, not a machine without memory
PATIENCE = 12  # times the limit until an input that does not even work is given up


class Fuzzed(NamedTuple):
    """What is fuzzed, and what it may need.

    Attributes:
        damaged: the next input, and a name for its file.
        read: reads an input; returns what came of it, in a word. Any exception is a finding.
        seconds: of work that an input may take.
        megabytes: memory that an input may take beside what the process already has.
    """

    damaged: Callable[[np.random.Generator], tuple[bytes, str]]
    read: Callable[[bytes, np.random.Generator], str]
    seconds: float
    megabytes: float


def arguments(prog: str, description: str, folder: Path) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=prog, description=description)
    parser.add_argument("--count", type=int, default=10_000, help="number of inputs (default: 10000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=folder, help=f"for inputs with a fault (default: {folder})")
    return parser


def changed(random: np.random.Generator, data: bytes) -> bytes:
    """One to three changes: a bit flipped, or a stretch removed, repeated, replaced or put in."""
    out = bytearray(data)
    for _ in range(int(random.integers(1, 4))):
        start, end = sorted(int(place) for place in random.integers(0, len(out) + 1, 2))
        end = min(end, start + int(random.integers(1, 64)))
        kind = random.integers(6)
        if kind == 0 and out:
            out[min(start, len(out) - 1)] ^= 1 << int(random.integers(8))
        elif kind == 1:
            del out[start:end]
        elif kind == 2:
            del out[start:]
        elif kind == 3:
            out[start:start] = out[start:end]
        elif kind == 4:
            out[start:end] = random.bytes(end - start)
        else:
            out[start:start] = bytes([MARKER]) + random.bytes(int(random.integers(8)))
    return bytes(out)


def fuzz(fuzzed: Fuzzed, count: int, seed: int, folder: Path) -> int:
    """Read so many inputs, print what came of them, and return the number of findings."""
    outcomes: Counter[str] = Counter()
    number = findings = 0
    with tqdm(total=count, unit="file", file=sys.stderr, disable=None) as progress:
        while number < count:
            receiver, sender = FORK.Pipe(duplex=False)
            work = fuzzed, range(number, count), seed, receiver, sender
            process = FORK.Process(target=_work, args=work, daemon=True)
            process.start()
            sender.close()
            fault = None
            while number < count and fault is None:
                outcome, fault = _answer(receiver, process, fuzzed.seconds)
                outcomes[outcome] += 1
                if fault is not None:
                    findings += 1
                    data, name = fuzzed.damaged(_random(seed, number))
                    folder.mkdir(parents=True, exist_ok=True)
                    path = folder / f"{seed}-{number}-{name}"
                    path.write_bytes(data)
                    print(f"{path}: {fault}", flush=True)
                number += 1
                progress.update()
            process.kill()
            process.join()
    told = ", ".join(f"{times} {outcome}" for outcome, times in outcomes.most_common())
    print(f"{count} inputs, {findings} findings: {told}")
    return findings


def _answer(
    receiver: Connection, process: multiprocessing.process.BaseProcess, seconds: float
) -> tuple[str, str | None]:
    """What came of the next input, and what is wrong with that."""
    used, patience = _cpu_seconds(process), PATIENCE
    try:
        while not receiver.poll(seconds):  # on a busy machine that is no time to work
            patience -= 1
            if not patience or _cpu_seconds(process) - used > seconds:
                return "hang", f"takes more than {seconds:g} s"
        return receiver.recv()
    except EOFError:
        process.join()
        return "crash", f"ended the process with exit code {process.exitcode}"


def _cpu_seconds(process: multiprocessing.process.BaseProcess) -> float:
    try:
        return sum(psutil.Process(process.pid).cpu_times()[:2])
    except psutil.Error:  # it has ended
        return 0.0


def _work(fuzzed: Fuzzed, numbers: range, seed: int, receiver: Connection, sender: Connection) -> None:
    receiver.close()  # so that this process ends with the one that reads
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    at_first = _resident()
    for number in numbers:
        random = _random(seed, number)
        data, _ = fuzzed.damaged(random)
        try:
            outcome, fault = fuzzed.read(data, random), None
        except Exception as error:
            outcome, fault = f"finding {type(error).__name__}", traceback.format_exc(limit=-4)
        if (taken := _peak() - at_first) > fuzzed.megabytes and fault is None:
            outcome, fault = "finding memory", f"takes {taken:.0f} MB"
        sender.send((outcome, fault))
        if fault is not None:
            return


def _random(seed: int, number: int) -> np.random.Generator:
    return np.random.default_rng([seed, number])


def _resident() -> float:
    """Megabytes of memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def _peak() -> float:
    """The most megabytes of memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
