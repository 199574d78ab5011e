"""As many threads as other programs leave cores for.

The threads of a step wait for each other many times a second, each time for the one whose core another program has.
Beside a program on one of two cores one thread makes 1.6 times the steps of two (benchmarks/beside.py).
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from maskwright.training.lightning import pl
from maskwright.training.pace import Pace

_LEAST = 0.5  # seconds; the system counts in hundredths
_TAKEN, _FREE = 0.5, 0.7  # of a core, from which on there is a thread fewer, or one more

# by the clock, of these cores by all programs, and by this one: seconds so far
Spent = tuple[float, float, float]


class SpareCores:
    """How many threads suit what other programs left of the cores since the last look.

    cores = SpareCores()
    cores.threads()
    """

    def __init__(self, read: Callable[[], Spent | None] | None = None) -> None:
        self.most = self._now = torch.get_num_threads()
        self._read = read or spent_so_far
        self._before = self._read() if self.most > 1 else None
        self.num_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0

    def threads(self) -> int | None:
        """As many as there are cores that others left, where that is clearly more or fewer than now; None: all."""
        seen = self._read() if self._before else None
        if self._before and seen and seen[0] - self._before[0] >= _LEAST:
            clock, all_programs, this = (now - before for now, before in zip(seen, self._before, strict=True))
            left = self.num_cores - max(0.0, all_programs - this) / clock
            is_whole = this >= 0  # a worker that ended is in neither figure for a moment
            if is_whole and (left < self._now - _TAKEN or left > self._now + _FREE):
                # half the cores at least: what is given up a program of many threads takes, and would take on
                self._now = min(self.most, max(1, self.num_cores // 2, round(left)))
            self._before = seen
        return self._now if self._now < self.most else None


class ComputeThreads(pl.Callback):
    """Each step computes with the threads that its pace decided on; this thread of the program has all again after."""

    def __init__(self, pace: Pace, print_line: Callable[[str], None]) -> None:
        self.pace, self.print_line = pace, print_line
        self.most, self.told = torch.get_num_threads(), False

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        wanted = min(self.pace.threads_at(trainer.global_step) or self.most, self.most)
        if wanted != torch.get_num_threads():
            torch.set_num_threads(wanted)
            if not self.told:
                self.told = True
                self.print_line(
                    f"threads {wanted} of {self.most} where other programs take cores: one without makes all wait"
                )

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        torch.set_num_threads(self.most)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        torch.set_num_threads(self.most)


def spent_so_far() -> Spent | None:
    """By the clock, of the cores this process may use by all programs, and by this one and its workers; in seconds.

    None where the system does not tell: anywhere but on Linux.
    """
    try:
        tick = os.sysconf("SC_CLK_TCK")
        names = {f"cpu{core}" for core in os.sched_getaffinity(0)}
        lines = [line.split() for line in Path("/proc/stat").read_text().splitlines() if line.startswith("cpu")]
        # user, nice, system, idle, iowait, irq, softirq; what a host took for other machines is none of these
        busy = sum(sum(map(int, [*line[1:4], *line[6:8]])) for line in lines if line[0] in names)
        children = multiprocessing.active_children()  # takes leave of those that ended, whom os.times then counts
        own = sum(os.times()[:4])
        for child in children:
            fields = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()
            own += sum(map(int, fields[11:13])) / tick
    except (OSError, ValueError, AttributeError):
        return None
    return time.perf_counter(), busy / tick, own
