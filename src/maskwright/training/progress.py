"""Progress of training: a live line in a terminal, a line for each epoch, and one now and then within long ones."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from maskwright.terminal import WIDE, Progress, duration, fitted
from maskwright.training.lightning import pl
from maskwright.training.module import SegmentationTraining
from maskwright.training.optim import rates
from maskwright.training.pace import Pace

_SPARSE = 10.0  # seconds between the lines of epochs where not every one is wanted
_LEAST_STEPS = 3  # from which on the time left is shown: the first is slower than any other
_WORTH = 20.0  # seconds a training must take for its time to be shown


@dataclass(frozen=True)
class Effort:
    """What epochs cost, in batches at the full size: the first `small` ones see half of it, a quarter of the pixels.

    >>> Effort(epochs=4, batches=10, small=2, validation=5.0).rest(1)
    37.5
    """

    epochs: int
    batches: int
    small: int
    validation: float

    def batch(self, epoch: int) -> float:
        """The cost of a batch of an epoch."""
        return 0.25 if epoch < self.small else 1.0

    def rest(self, epoch: int) -> float:
        """The cost of all epochs from this one on."""
        return sum(self.batches * self.batch(one) + self.validation for one in range(epoch, self.epochs))


class TrainingProgress(pl.Callback):
    """Epoch, images/s, time left, and the epochs' scores; drawn by rank 0 alone."""

    def __init__(self, console: Console, effort: Effort | Pace, every_epoch: bool = True) -> None:
        self.pace = effort if isinstance(effort, Pace) else None
        self.effort = Effort(1, 1, 0, 0.0) if isinstance(effort, Pace) else effort
        self.every_epoch = every_epoch
        self.progress = Progress(console, self.line)
        self.columns = console.width if self.progress.is_live else WIDE
        self._recent: list[tuple[float, int]] = []
        self._epoch, self._batch, self._validated, self._num_val, self._steps = 0, 0, 0, 0, 0
        self._is_printed, self._printed_at = False, 0.0
        self._spent = 0.0  # of the effort since the clock runs

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._epoch, self._all = trainer.current_epoch, self.effort.rest(trainer.current_epoch)
        self._clock = self._began = self._printed_at = time.perf_counter()
        if trainer.is_global_zero:
            self.progress.start()

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._epoch, self._batch, self._validated = trainer.current_epoch, 0, 0
        self._epoch_began = time.perf_counter()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        now = time.perf_counter()
        self._batch, self._steps = batch_idx + 1, self._steps + 1
        self._recent = [*self._recent, (now, len(batch.items))][-30:]
        if self._steps == 1:  # memory that was never touched makes it slow
            self._clock, self._all = now, self._all - self.effort.batch(self._epoch)
            return
        self._spent += self.effort.batch(self._epoch)
        if not self.pace and self._steps > _LEAST_STEPS and not self._is_printed and now - self._began > 2:
            self._is_printed = True
            if self._left() > _WORTH and trainer.is_global_zero:
                step = (now - self._clock) / (self._steps - 1)
                self.progress.print_line(f"time    about {duration(self._left())}, as a batch takes {step:.2g} s here")

    def on_validation_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:  # fmt: skip
        self._num_val = int(sum(trainer.num_val_batches))
        self._validated = batch_idx + 1
        self._spent += self.effort.validation / max(1, self._num_val)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, SegmentationTraining)
        self._validated = 0
        now = time.perf_counter()
        wanted = self.every_epoch or (not self.progress.is_live and now - self._printed_at >= _SPARSE)
        if trainer.is_global_zero and wanted:
            self._printed_at = now
            rate = rates(trainer.optimizers[0])["lr"]
            pieces = epoch_pieces(self._label(), pl_module.epoch_scores, rate, now - self._epoch_began)
            self.progress.print_line(fitted(pieces, self.columns))

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self.progress.stop()

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self.progress.stop()

    def line(self, width: int) -> str:
        """What is going on, for so many columns."""
        left = f"{duration(self._left())} left" if self._steps > _LEAST_STEPS else ""
        if self._validated:
            where = f"validating {self._validated}/{self._num_val}"
        else:
            where = f"step {self._steps}" if self.pace else f"{self._batch}/{self.effort.batches}"
        pieces = [(self._label(), 0), (where, 3), (self._rate(), 2), (left, 1)]
        return fitted(pieces, width, self._share() if self.progress.is_live else None)

    def _share(self) -> float | None:
        if self.pace:
            return min(1.0, self.pace.now() / self.pace.budget)
        return self._spent / self._all if self._all else None

    def _label(self) -> str:
        if self.pace:
            return f"{min(1.0, self.pace.now() / self.pace.budget):.0%} of the time"
        return f"epoch {self._epoch + 1}/{self.effort.epochs}"

    def _rate(self) -> str:
        if len(self._recent) < 2:
            return ""
        seconds = self._recent[-1][0] - self._recent[0][0]
        return f"{sum(count for _, count in self._recent[1:]) / max(seconds, 1e-9):.1f} images/s"

    def _left(self) -> float:
        if self.pace:
            return max(0.0, self.pace.budget - self.pace.now())
        if not self._spent:
            return 0.0
        return (time.perf_counter() - self._clock) / self._spent * max(0.0, self._all - self._spent)


def epoch_pieces(label: str, scores: dict[str, float], rate: float, seconds: float) -> list[tuple[str, int]]:
    """A finished epoch in pieces of a line, the less important ones with higher numbers."""
    return [
        (label, 0),
        (f"loss {scores['train_loss']:.3f} (val {scores['val_loss']:.3f})", 2),
        (f"IoU {scores['train_iou']:.3f} (val {scores['val_iou']:.3f})", 1),
        (f"lr {rate:.2g}", 4),
        (f"{seconds:.0f} s", 3),
    ]
