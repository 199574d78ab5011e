"""Progress of training: a live bar in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from typing import Any

import lightning.pytorch as pl
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from maskwright.training.module import SegmentationTraining

_LINE_EVERY = 10.0  # seconds between plain lines


class TrainingProgress(pl.Callback):
    """Epoch, images/s, time left, and the last scores; drawn by rank 0 alone."""

    def __init__(self, console: Console, total_steps: int) -> None:
        self.console, self.total_steps = console, total_steps
        self.live = console.is_terminal or console.is_jupyter
        self._bar: Progress | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._start, self._first = time.perf_counter(), trainer.global_step
        self._images, self._recent = 0, []
        self._told_at, self._told_epoch = self._start, -1
        if self.live and trainer.is_global_zero:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"),
                       TextColumn("{task.fields[left]}"), TimeElapsedColumn(), TextColumn("{task.fields[scores]}"))  # fmt: skip
            self._bar = Progress(*columns, console=self.console, transient=True)
            self._task = self._bar.add_task(
                "training", total=self.total_steps, completed=self._first, rate="", left="", scores=""
            )
            self._bar.start()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        now = time.perf_counter()
        self._recent = [*self._recent, (now, len(batch.items))][-30:]
        if self._bar:
            epoch = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
            self._bar.update(
                self._task, completed=trainer.global_step, description=epoch, rate=self._rate(), left=self._left(trainer)
            )

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, SegmentationTraining)
        scores = scores_line(pl_module.epoch_scores)
        if self._bar:
            self._bar.update(self._task, scores=scores)
            return
        now = time.perf_counter()
        last = trainer.current_epoch + 1 == trainer.max_epochs
        if trainer.is_global_zero and (last or self._told_epoch < 0 or now - self._told_at >= _LINE_EVERY):
            epoch = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
            self.console.print(f"{epoch}  {self._rate()}  {self._left(trainer)}  {scores}", highlight=False, soft_wrap=True)
            self._told_at, self._told_epoch = now, trainer.current_epoch

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self._take_away()  # a terminal whose bar is left running has no cursor afterwards

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self._take_away()

    def _take_away(self) -> None:
        if self._bar:
            self._bar.stop()
            self._bar = None

    def _rate(self) -> str:
        if len(self._recent) < 2:
            return ""
        seconds = self._recent[-1][0] - self._recent[0][0]
        return f"{sum(count for _, count in self._recent[1:]) / max(seconds, 1e-9):.1f} images/s"

    def _left(self, trainer: pl.Trainer) -> str:
        done = trainer.global_step - self._first
        if not done:
            return ""
        seconds = (time.perf_counter() - self._start) / done * (self.total_steps - trainer.global_step)
        return f"{duration(seconds)} left"


def scores_line(scores: dict[str, float]) -> str:
    """The epoch's scores in one line."""
    return (
        f"loss {scores['train_loss']:.3f} train {scores['val_loss']:.3f} val, "
        f"IoU {scores['train_iou']:.3f} train {scores['val_iou']:.3f} val"
    )


def duration(seconds: float) -> str:
    """Seconds as a person says them.

    >>> duration(75)
    '1 min 15 s'
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"
