"""Data-parallel processes: started here on one machine, or by torchrun on several."""

import multiprocessing
import os
import sys
import tempfile
from collections.abc import Callable
from multiprocessing.queues import SimpleQueue

import numpy as np
import torch
import torch.distributed as torch_distributed
from torch.multiprocessing.spawn import ProcessExitedException, spawn

from pipeline.common.stage import StageError
from pipeline.training.task import Size
from telucodec.networks import distributed
from telucodec.processors import end_with_parent


def run(processes: int, work: Callable[..., None], *arguments: object) -> None:
    """Call `work` in `processes` ranks. A process that torchrun started is one rank itself, and calls it directly.

    The ranks end when this process ends, whatever the signal; when one of them ends early, so do the others.

    Raises:
        StageError: a rank raised it, or was killed.
    """
    if torch_distributed.is_torchelastic_launched():
        _join("env://", int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]), work, arguments)
    elif processes == 1:
        work(*arguments)
    else:
        _start(processes, work, arguments)


def local_rank() -> int:
    """The number of this rank on its machine, and of its GPU."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def _start(processes: int, work: Callable[..., None], arguments: tuple[object, ...]) -> None:
    faults: SimpleQueue[str] = multiprocessing.get_context("spawn").SimpleQueue()
    with tempfile.TemporaryDirectory(prefix="ranks-") as folder:  # a file as the meeting point needs no free port
        try:
            spawn(_rank, (processes, f"file://{folder}/meeting", faults, work, arguments), processes, daemon=True)
        except ProcessExitedException as ended:
            if not faults.empty():
                raise StageError(faults.get()) from None
            if ended.signal_name is None:
                raise
            raise StageError(
                f"rank {ended.error_index} of {processes} was ended by {ended.signal_name} (SIGKILL: out of memory?), and "
                "the others with it. The checkpoint of the last finished epoch is kept; `dvc repro` continues from it"
            ) from None


def _rank(
    rank: int,
    processes: int,
    meeting: str,
    faults: "SimpleQueue[str]",
    work: Callable[..., None],
    arguments: tuple[object, ...],
) -> None:
    end_with_parent()
    os.environ["LOCAL_RANK"] = str(rank)
    try:
        _join(meeting, rank, processes, work, arguments)
    except StageError as error:
        faults.put(str(error))
        sys.exit(1)


def _join(meeting: str, rank: int, processes: int, work: Callable[..., None], arguments: tuple[object, ...]) -> None:
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    torch_distributed.init_process_group(backend, meeting, rank=rank, world_size=processes)
    try:
        work(*arguments)
    finally:
        torch_distributed.destroy_process_group()


class SharedDraws:
    """Random draws for the items of a batch: every rank draws for all items and takes its share.

    Together the ranks draw what a single process would, and their generators stay in step.
    """

    def __init__(self, random: np.random.Generator):
        self._generator = random

    def random(self, size: Size) -> np.ndarray:
        return self._draw(self._generator.random, size)

    def uniform(self, low: float, high: float, size: Size) -> np.ndarray:
        return self._draw(lambda whole: self._generator.uniform(low, high, whole), size)

    def integers(self, low: int, high: int, size: Size) -> np.ndarray:
        return self._draw(lambda whole: self._generator.integers(low, high, whole), size)

    def _draw(self, draw: Callable[[tuple[int, ...]], np.ndarray], size: Size) -> np.ndarray:
        items, *others = size if isinstance(size, tuple) else (size,)
        return distributed.share(draw((items * distributed.ranks(), *others)))
