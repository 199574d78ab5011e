"""A budget of time, spent by the clock: how many steps come next, what they show, and where the schedule stands.

Training goes in stretches of about a hundredth of the budget. Before each the clock is looked at: the share of the
budget that is over says which inputs are shown and what the learning rate is, so that the schedule ends with the budget
on a machine that becomes slower or faster meanwhile. Each stretch is written to pace.json before its first step. A
resume replays what is written there, to the same bits, and goes on by the clock from then on.
"""

from __future__ import annotations

import math
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from itertools import pairwise

import numpy as np
from torch.utils.data import Sampler

from maskwright import schemas
from maskwright.config import Config
from maskwright.config.base import seconds_of
from maskwright.data.loader import EpochKeys, Key, epoch_order
from maskwright.data.opening import Opened
from maskwright.errors import RunError, UsageError
from maskwright.runs import Run
from maskwright.training.average import bn_passes
from maskwright.training.ranks import Ranks
from maskwright.training.resolve import FORWARD, val_inputs, view_of

FILE = "pace.json"
MIN_VAL_IMAGES = 20  # fewer cannot tell which epoch is better: the best of many looks at four images is luck
_STRETCH = 0.01  # of the budget: a machine that becomes twice as slow costs no more than that
_LEAST_STRETCH = 0.25  # seconds; shorter ones measure noise
_EPOCHS = 20  # validations a budget, where they are cheap
VALIDATION = 0.08  # of the time may go into validation
_MARGIN = 1.1  # the last validation, with the writing of weights, may take so many times as long as the one before
_WRITING = 1.5  # seconds for the last checkpoint, the weights and the end of the process
_REMEMBERED = 5  # steps by which the next are foreseen
_START_UP = 0.2  # seconds of the first validation


@dataclass(frozen=True)
class Stretch:
    """Steps that were decided on together. A last one without steps says that the budget is used up.

    One that an interrupt cut short says how many were `planned`: its share of the schedule is still that of all of
    them.
    """

    epoch: int
    step: int  # of the whole training
    steps: int
    seen: int  # inputs before it
    batch: int
    small: bool  # inputs of half the size
    start: float  # share of the budget for training at its first step and, as foreseen, after its last
    end: float
    seconds: float  # of the budget that are over
    planned: int | None = None
    threads: int | None = None  # that compute it; all there are, where nothing is said

    def share(self, steps: int) -> float:
        """Share of the budget that is over after so many of its steps."""
        return self.start + (self.end - self.start) * min(1.0, steps / max(1, self.planned or self.steps))


_KEYS = tuple(field.name for field in fields(Stretch))


@dataclass(frozen=True)
class Portion:
    """What a step sees: inputs, and their pixels in all."""

    batch: int
    pixels: int


class Pace:
    """Decides stretch by stretch, or replays what was decided.

    pace = Pace(300.0, 12.0, 0.7, {False: Portion(4, 4 * 512**2), True: Portion(8, 8 * 256**2)}, val_pixels=20 * 512**2)
    pace.begin_epoch()
    while stretch := pace.next(): ...          # pace.ran_step() after each step
    pace.share(step)                           # of the schedule that is over
    """

    def __init__(
        self, budget: float, spent: float, grow: float, portions: Mapping[bool, Portion], val_pixels: int = 0,
        kept: Sequence[Stretch] = (), keep: Callable[[list[Stretch]], object] = lambda stretches: None,
        clock: Callable[[], float] = time.perf_counter, ranks: Ranks = Ranks(),  # noqa: B008
        threads: Callable[[], int | None] | None = None,
    ) -> None:  # fmt: skip
        self.budget, self.grow, self.portions, self.val_pixels = budget, grow, portions, val_pixels
        self.stretches, self.done = list(kept), False
        self._keep, self._clock, self._ranks, self._threads = keep, clock, ranks, threads
        self._zero = clock() - spent
        self._first = self.stretches[0].seconds if self.stretches else spent
        self._place, self._epoch = 0, -1  # of the next stretch
        self._ran = 0  # steps
        self._ran_at: float | None = None  # seconds when the last step of this epoch was over
        # seconds a step
        self._took: dict[bool, deque[float]] = {small: deque(maxlen=_REMEMBERED) for small in (False, True)}
        self._epoch_began = spent
        # seconds of each validation, with all that is done between two epochs, and of a full step then
        self._pauses: list[tuple[float, float]] = []
        self._pause_ran = 0

    def now(self) -> float:
        """Seconds of the budget that are over."""
        return self._clock() - self._zero

    def end_sooner(self, share: float) -> float:
        """Cut what is left of the budget to this share; the schedule leaps ahead, to end with it. → seconds in all"""
        now = self.now()
        self.budget = now + share * max(0.0, self.budget - now)
        return self.budget

    def seek(self, step: int) -> None:
        """Go to the step a checkpoint was written at. The time since then was not spent on this training."""
        self._place = next((place for place, one in enumerate(self.stretches) if one.step >= step), len(self.stretches))
        self._ran = step
        if self._place == len(self.stretches) and self.stretches:
            last = self.stretches[-1]
            self._zero = (
                self._clock() - last.seconds - (last.share(last.steps) - last.start) * (self.budget - self._first)
            )

    @property
    def is_over(self) -> bool:
        """Whether what comes next is the end."""
        return self._place < len(self.stretches) and not self.stretches[self._place].steps

    def begin_epoch(self) -> None:
        """Call before an epoch's first stretch."""
        if self._ran_at is not None:
            self._pauses.append((self.now() - self._ran_at, self._step_seconds(False)))
            self._pause_ran = self._ran
        if self._place < len(self.stretches):
            coming = self.stretches[self._place]
            self._epoch, self._zero = coming.epoch, self._clock() - coming.seconds
        else:
            self._epoch = self.stretches[-1].epoch + 1 if self.stretches else 0
        self._epoch_began = self.now()
        if not self.stretches:
            self._first = self._epoch_began
        self._ran_at = None

    def ran_step(self) -> None:
        """Call after each step."""
        now = self.now()
        if self._ran_at is not None:  # the first step of an epoch takes longer, the very first up to ten times
            small = next(one.small for one in reversed(self.stretches) if one.step <= self._ran)
            self._took[small].append(now - self._ran_at)
        self._ran, self._ran_at = self._ran + 1, now
        # between what steps took before it and after
        if self._pauses and self._ran == self._pause_ran + _REMEMBERED + 1:
            seconds, before = self._pauses[-1]
            self._pauses[-1] = seconds, math.sqrt(before * self._step_seconds(False))

    def end_epoch(self, step: int) -> None:
        """End the epoch before this step: what was decided beyond it is taken back."""
        kept = [one for one in self.stretches if one.step < step]
        last = kept[-1]
        if step < last.step + last.steps:
            kept[-1] = replace(last, steps=step - last.step, planned=last.planned or last.steps)
        self.stretches, self._place = kept, len(kept)
        self._keep(kept)

    def next(self) -> Stretch | None:
        """The next stretch of this epoch, or None where it ends. It may be asked for some steps before it begins."""
        if self._place == len(self.stretches):
            found = self._ranks.agree(self._decide)
            if found is None:
                return None
            self.stretches.append(found)
            self._keep(self.stretches)
        found = self.stretches[self._place]
        self.done = self.is_over
        if self.done or found.epoch != self._epoch:
            return None
        self._place += 1
        return found

    def share(self, step: int) -> float:
        """How much of the schedule is over at a step.

        >>> pace = Pace(10, 0, 0, {}, kept=[Stretch(0, 0, 4, 0, 1, False, 0.0, 0.2, 0.0)])
        >>> pace.begin_epoch()
        >>> assert pace.next()
        >>> [pace.share(step) for step in (0, 1, 4, 5)]
        [0.0, 0.05, 0.2, 0.2]
        """
        # what is replayed is known long before: the answer must be that of the first time
        last = next((one for one in reversed(self.stretches[: self._place]) if one.step <= step), None)
        return last.share(step - last.step) if last else 0.0

    def threads_at(self, step: int) -> int | None:
        """The threads that were decided on for a step."""
        return next((one.threads for one in reversed(self.stretches) if one.step <= step), None)

    def num_steps(self, step: int) -> float:
        """All steps there will be, as far as can be told at this one."""
        return (step + 1) / max(self.share(step + 1), 1e-3)

    def _decide(self) -> Stretch | None:
        epoch = self._epoch
        last = self.stretches[-1] if self.stretches else None
        step, seen = (last.step + last.steps, last.seen + last.steps * last.batch) if last else (0, 0)
        waiting = (step - self._ran) * self._step_seconds(last.small) if last else 0.0
        now = self.now() + waiting  # when the stretch will begin
        pause = self._pause_seconds()
        left = self.budget - _MARGIN * pause - min(_WRITING, 0.02 * self.budget) - now
        share = min(1.0, max(0.0, (now - self._first) / max(1e-6, now + left - self._first)))
        start = max(share, last.share(last.steps) if last else 0.0)  # the schedule never goes back
        small = start < self.grow
        took = self._step_seconds(small)
        batch = self.portions[small].batch
        if last and left < took / 2 + 1e-6:
            return Stretch(epoch, step, 0, seen, batch, small, 1.0, 1.0, round(now, 3))
        whole = max(self.budget / _EPOCHS, pause / VALIDATION)
        is_known = len(self._took[small]) == _REMEMBERED  # what little was seen of a slow start says nothing
        if is_known and last and last.epoch == epoch and now - self._epoch_began >= whole and left - pause >= whole / 2:
            return None
        steps = 1
        if took and last:
            length = min(max(_STRETCH * self.budget, _LEAST_STRETCH), left)
            steps = max(1, min(round(length / took), 2 * last.steps))
        end = max(start, min(1.0, share + steps * took / max(1e-6, now + left - self._first)))
        threads = self._threads() if self._threads else None
        return Stretch(
            epoch, step, steps, seen, batch, small, round(start, 6), round(end, 6), round(now, 3), threads=threads
        )

    def _step_seconds(self, small: bool) -> float:
        """What a step takes, by the last that were run; of another size, in proportion to the pixels; 0 at first."""
        if self._took[small]:
            return statistics.median(self._took[small])
        if not self._took[not small]:
            return 0.0
        return self._step_seconds(not small) * self.portions[small].pixels / self.portions[not small].pixels

    def _pause_seconds(self) -> float:
        """What a validation takes, as fast as the machine is now; before any, by the pixels it passes forward."""
        step = self._step_seconds(False)
        if not self._pauses:
            return _START_UP + FORWARD * step * self.val_pixels / self.portions[False].pixels
        return statistics.median(seconds * (step / before if before else 1.0) for seconds, before in self._pauses)


class PacedKeys(Sampler[list[Key]]):
    """The keys of each batch for as long as the pace says: pass after pass over the samples, each in its own order."""

    def __init__(self, num_samples: int, seed: int, pace: Pace, accumulate: int = 1) -> None:
        self.num_samples, self.seed, self.pace, self.accumulate = num_samples, seed, pace, accumulate
        self._order: tuple[int, np.ndarray] = (-1, np.empty(0))

    def __iter__(self) -> Iterator[list[Key]]:
        self.pace.begin_epoch()
        while stretch := self.pace.next():
            size = stretch.batch // self.accumulate
            for batch in range(stretch.steps * self.accumulate):
                first = stretch.seen + batch * size
                yield [self._key(place, stretch.small) for place in range(first, first + size)]

    def _key(self, place: int, small: bool) -> Key:
        over, number = divmod(place, self.num_samples)
        if self._order[0] != over:
            self._order = over, epoch_order(self.seed, over, self.num_samples)
        return over, int(self._order[1][number]), small


def pace_of(
    run: Run, config: Config, opened: Opened, keys: EpochKeys, began: float, ranks: Ranks = Ranks(),  # noqa: B008
    threads: Callable[[], int | None] | None = None,
) -> Pace:  # fmt: skip
    """The pace of a run's budget, spent from `began` on; half-size inputs come in batches of twice as many."""
    train, view = config.train, view_of(config)
    assert train.budget is not None and train.grow != "auto"
    batch = keys.batch_size * train.accumulate
    portions = {
        False: Portion(batch, batch * math.prod(view.shape)),
        True: Portion(2 * batch, 2 * batch * math.prod(view.halved().shape)),
    }
    bn_inputs = bn_passes(config, len(keys)) * keys.batch_size
    budget, spent = seconds_of(train.budget), time.perf_counter() - began
    kept = read_stretches(run)
    if not kept and spent > 0.9 * budget:
        fix = f"Give it --budget {2 * spent + 10:.0f}s or more."
        message = f"starting and reading the data took {spent:.1f} s of {budget:g}"
        raise UsageError(f"`--budget` must leave time for training; {message}. {fix}")
    keep = partial(write_stretches, run) if ranks.rank == 0 else lambda stretches: None
    val_pixels = (val_inputs(config, opened.dataset) / ranks.world + bn_inputs) * math.prod(view.shape)
    return Pace(budget, spent, train.grow, portions, round(val_pixels), kept, keep, ranks=ranks, threads=threads)


def takes_last(config: Config, num_val: int) -> bool:
    """Whether the weights of the schedule's end are kept, as validation has too few images to tell epochs apart."""
    return config.train.budget is not None and num_val < MIN_VAL_IMAGES


def read_stretches(run: Run) -> list[Stretch]:
    """What pace.json says; empty before the first stretch."""
    if not (run.root / FILE).exists():
        return []
    found = [
        Stretch(**{key: one[key] for key in _KEYS if key in one}) for one in run.read_json(FILE, list[schemas.Stretch])
    ]
    for before, one in pairwise(found):
        goes_on = (one.step, one.seen) == (before.step + before.steps, before.seen + before.steps * before.batch)
        if not goes_on or one.epoch - before.epoch not in (0, 1) or not before.steps or one.start < before.start:
            fix = "Restore it, or remove it and checkpoints/ to train the run from its start."
            raise RunError(
                f"`{run.root / FILE}` must be as it was written; step {one.step} does not go on from the one before. "
                f"{fix}"
            )
    return found


def drop_unfinished(run: Run) -> None:
    """Take away what was decided for a training that begins anew: its budget is spent by the clock, not by the last
    one's steps.

    What a whole training decided stays, to be replayed to the same bits.
    """
    stretches = read_stretches(run)
    if stretches and stretches[-1].steps:
        (run.root / FILE).unlink()


def write_stretches(run: Run, stretches: Sequence[Stretch]) -> None:
    """pace.json, anew."""
    whole = [asdict(one) for one in stretches]
    run.write_json(FILE, [{key: value for key, value in one.items() if value is not None} for one in whole])
